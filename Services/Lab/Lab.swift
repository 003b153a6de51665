import CLinux
import LabAPI
import Logging
import Primitives
import RPC
import RPCSocket

/// A host without systemd: the same programs as plain processes in a directory, started, watched and killed by module.
///
/// Nothing survives it: when the lab's process is killed, the kernel kills its units.
public final class Lab: Sendable {
  private let directory: LabDirectory
  private let supervisor: LabSupervisor
  private let server: RPCServer
  private let ended: AsyncStream<Void>
  private let reportEnd: AsyncStream<Void>.Continuation

  /// Takes the directory and starts the units; does not wait until they are ready.
  public static func start(_ configuration: LabConfiguration, logger: Logger) async throws(LabError) -> Lab {
    // Children of a unit that lose their parent come to us, where they are found and ended with their unit.
    _ = ftvs_become_child_subreaper()
    let directory = try await offThePool { () throws(LabError) in try LabDirectory.open(configuration) }
    let lab = try Lab(configuration, directory, logger)
    await lab.supervisor.begin()
    return lab
  }

  /// Whether a lab runs in that directory.
  public static func isRunning(in directory: String) -> Bool { LabDirectory.isLocked(LabPaths(directory: directory)) }

  private init(_ configuration: LabConfiguration, _ directory: LabDirectory, _ logger: Logger) throws(LabError) {
    self.directory = directory
    let supervisor = try LabSupervisor(
      configuration, listeners: directory.listeners, notifySocket: directory.notifySocket, logger: logger)
    self.supervisor = supervisor
    let (ended, reportEnd) = AsyncStream.makeStream(of: Void.self)
    (self.ended, self.reportEnd) = (ended, reportEnd)
    server = RPCServer(
      listener: directory.labListener, router: supervisor.router { reportEnd.finish() },
      policy: .sameUserIsEverything(),
      logger: logger)
  }

  /// Serves the lab's API until the lab is ended by it or by `end`.
  public func run() async throws {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await self.server.run() }
      tasks.addTask {
        for await _ in self.ended {}
        // The answer to whoever ended the lab is still to be sent.
        self.server.stopAccepting()
        await self.server.drain(timeout: .seconds(1))
      }
      defer { tasks.cancelAll() }
      try await tasks.next()
    }
    supervisor.loop.stop()
    directory.close()
  }

  /// Stops all units; `run` returns then.
  public func end() async {
    await supervisor.end()
    reportEnd.finish()
  }
}

/// Runs what blocks on a thread of its own.
private func offThePool<T: Sendable>(_ body: @escaping @Sendable () throws(LabError) -> T) async throws(LabError) -> T {
  let result: Result<T, LabError> = await withCheckedContinuation { continuation in
    OwnThread.start {
      do throws(LabError) {
        continuation.resume(returning: .success(try body()))
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
  return try result.get()
}
