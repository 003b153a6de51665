import FoundationEssentials

/// The environment of the units.
enum LabEnvironment {
  /// What the lab itself was started with, without what belongs to its own supervisor.
  static let inherited: [String: String] = {
    var environment = ProcessInfo.processInfo.environment
    for name in [
      "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID",
      "JOURNAL_STREAM", "FTVS_RUN_DIRECTORY", "FTVS_CONFIGURATION",
    ] {
      environment[name] = nil
    }
    return environment
  }()
}
