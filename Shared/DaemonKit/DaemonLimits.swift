import RPCSocket

/// Every limit and interval of the kit.
public enum DaemonLimits {
  /// Time that requests in flight get to finish at a planned hand-over; systemd kills after 5 seconds.
  public static let drainTime = Duration.seconds(4)
  /// How often, and with what pause, a standby looks whether the active instance serves before it rehearses.
  static let rehearsalLooks = 100
  static let rehearsalPause = Duration.milliseconds(5)
  /// Time that other services, which may be taking over on the same module, get before a standby rehearses.
  static let rehearsalDelay = Duration.milliseconds(150)
  /// Time within which the serving path must advance before the watchdog is told.
  static let pingTime = Duration.milliseconds(500)
  /// Time that the state's thread may spend on one piece of work, beside waiting for legs, before the process counts as hung.
  /// Far more than the watchdog's interval: a disk that is slow under load is no reason to fail over to the same disk.
  static let stateStallTime = Duration.seconds(5)
  /// Time between two attempts to open a state that was refused.
  static let recoveryInterval = Duration.seconds(1)
  /// Alerts kept while the alert bus is away.
  public static let spooledAlerts = 1_000
  /// Bytes of alerts kept while the alert bus is away.
  public static let spooledBytes = 1 << 20
  /// Bytes of one alert; facts of longer ones are left out.
  static let alertBytes = 16 << 10
  /// Characters of an alert's message.
  static let alertMessageCharacters = 4_000
  /// Alerts sent at once.
  static let alertsPerCall = 100
  /// First and last wait after the alert bus did not answer.
  static let alertRetry = (first: Duration.milliseconds(50), last: Duration.seconds(2))
  /// Bytes of a configuration file.
  static let configurationBytes = 64 << 10
}
