import Glibc
import Logging
import ServiceLifecycle
import Synchronization
import Systemd
import UnixSignals

/// Tells the manager that the process lives, as long as the path that serves requests advances.
///
/// What is asked goes through the event loop, a session, the router and a task, and comes back: a timer of its own would go
/// on in a process that serves nobody. A leg's I/O is not on the way: one that hangs is dropped, not waited for.
struct WatchdogService: Service {
  let notifier: Notifier
  let server: ServerBox

  func run() async throws {
    guard let interval = notifier.watchdogInterval else {
      try await gracefulShutdown()
      return
    }
    await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        // Before there is a server, that this task runs is all there is to show.
        let isAlive = if let server = server.server { await server.ping() } else { true }
        if isAlive || server.server == nil { notifier.send(.watchdog) }
        try? await Task.sleep(for: interval / 4)
      }
    }
    // While requests finish, the manager's stop time-out watches.
    notifier.send(.watchdog)
  }
}

/// Takes SIGHUP: the level of the log is read again.
struct ReloadService: Service {
  let notifier: Notifier
  let threshold: DaemonLogHandler.Threshold
  let logger: Logger

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    for await _ in signals.cancelOnGracefulShutdown() {
      notifier.send(.reloading(monotonicMicroseconds: Notifier.monotonicMicroseconds))
      reload()
      notifier.send(.ready)
    }
  }

  private func reload() {
    do {
      let environment = Daemon.environmentVariables()
      let arguments = try DaemonArguments.parse(CommandLine.arguments, environment: environment)
      threshold.level = Daemon.logLevel(environment, arguments.configuration)
      logger.notice("Reloaded: logging from level \(threshold.level).")
    } catch {
      logger.error("Not reloaded: \(error)")
    }
  }
}

/// Runs a body that cannot be cancelled, but leaves it behind when this task is.
func firstOf<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T? {
  let (stream, continuation) = AsyncThrowingStream<T, any Error>.makeStream()
  Task {
    do {
      continuation.yield(try await body())
      continuation.finish()
    } catch {
      continuation.finish(throwing: error)
    }
  }
  for try await value in stream { return value }
  return nil
}

/// Ends the process at once; the kernel frees the lease.
func exitNow() -> Never { exit(EXIT_FAILURE) }
