import Dispatch
import Glibc
import Systemd

/// Ends the process in good order when it is told to. There is nothing to finish: the supervisor learns of the end from
/// the connection, and that it was wanted from the unit manager.
final class EndSignals {
  private let sources: [any DispatchSourceSignal]

  init(notifier: Notifier) {
    // Nothing is read again at a reload.
    signal(SIGHUP, SIG_IGN)
    sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler {
        notifier.send(.stopping)
        exit(EXIT_SUCCESS)
      }
      source.resume()
      return source
    }
  }
}
