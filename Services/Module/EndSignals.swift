import Dispatch
import Glibc
import Systemd

/// Ends the process in good order when it is told to: the supervisor hears that it was wanted.
final class EndSignals {
  private let sources: [any DispatchSourceSignal]

  init(notifier: Notifier, agent: ModuleAgent) {
    // Nothing is read again at a reload.
    signal(SIGHUP, SIG_IGN)
    sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler {
        notifier.send(.stopping)
        Task {
          await agent.sayLast()
          exit(EXIT_SUCCESS)
        }
      }
      source.resume()
      return source
    }
  }
}
