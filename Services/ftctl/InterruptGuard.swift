import Dispatch
import Glibc

/// Cleans up when ftctl is interrupted, and ends it then.
final class InterruptGuard: Sendable {
  private let sources: SignalSources

  /// - Parameter cleanUp: Runs when a signal comes while this is armed.
  init(_ cleanUp: @escaping @Sendable () async -> Void) {
    sources = SignalSources([SIGINT, SIGTERM, SIGHUP]) {
      Task {
        await cleanUp()
        Terminal.write("\n", STDERR_FILENO)
        // As the shell reports an interrupt.
        _exit(130)
      }
    }
  }

  /// Leaves the signals to what they did before.
  func disarm() { sources.cancel() }
}

/// Calls back at signals.
///
/// @unchecked Sendable: the sources are made and resumed in `init` and then only cancelled, which is thread-safe.
final class SignalSources: @unchecked Sendable {
  private let sources: [(number: Int32, source: any DispatchSourceSignal)]

  init(_ numbers: [Int32], _ body: @escaping @Sendable () -> Void) {
    sources = numbers.map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler(handler: DispatchWorkItem(block: body))
      source.resume()
      return (number, source)
    }
  }

  /// The signals do again what they do by themselves.
  func cancel() {
    for (number, source) in sources {
      source.cancel()
      signal(number, SIG_DFL)
    }
  }
}
