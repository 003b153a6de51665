import HostConfiguration
import Logging
import ServiceLifecycle
import Systemd
import UnixSignals

/// Reads the configuration again at SIGHUP, for what can change while the process runs: the log level.
struct ReloadService: Service {
  let process: DaemonProcess

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    for await _ in signals.cancelOnGracefulShutdown() { reload() }
  }

  func reload() {
    process.notifier.send(.reloading(monotonicMicroseconds: Notifier.monotonicMicroseconds))
    // The manager waits for it also when the configuration is wrong: the old one stays in force.
    defer { process.notifier.send(.ready) }
    do throws(ConfigurationFile.Problem) {
      let configuration = try ConfigurationFile.load()
      process.threshold.level = DaemonProcess.level(configuration)
      process.logger.notice(
        "The configuration was read again.", metadata: ["logLevel": "\(process.threshold.level)"])
    } catch {
      process.logger.error("The configuration was not taken over: \(error)")
    }
  }
}
