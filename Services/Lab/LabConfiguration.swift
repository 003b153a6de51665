import Glibc

/// What a lab is started with.
public struct LabConfiguration: Sendable {
  /// Bounds of time. The defaults are those of the systemd units.
  public struct Timing: Sendable {
    /// Pause between the end of a unit and its next start.
    public var restart: Duration = .milliseconds(400)
    /// Silence after which a service counts as hung.
    public var watchdog: Duration = .seconds(1)
    /// Time to become ready.
    public var start: Duration = .seconds(30)
    /// Time to end after SIGTERM.
    public var stop: Duration = .seconds(5)
    /// Pause before the processes of an ending unit are counted again.
    public var emptyCheck: Duration = .milliseconds(2)
    /// Pause between two activations of a service by waiting connections.
    public var activation: Duration = .milliseconds(100)

    public init() {}
  }

  /// Where the lab lives: an absolute path, short enough for the Unix sockets in it (`LabPaths.longestDirectory`).
  public var directory: String
  /// Directory of the programs `ftvs-storage`, `ftvs-guest` and so on.
  public var binaries: String
  public var timing = Timing()
  /// Silence of a module's agent after which the module counts as failed, in milliseconds; nil keeps what the host's
  /// file says.
  public var heartbeatBoundMilliseconds: Int?
  /// Whether every child of this process is the lab's, so that strays may be reaped. False inside a test runner.
  public var ownsProcess = false

  public init(directory: String, binaries: String) {
    self.directory = directory
    self.binaries = binaries
  }
}

/// A reason for which a lab cannot start, in a sentence that says what to do.
public struct LabError: Error, Sendable, CustomStringConvertible {
  /// What kind of reason.
  public enum Kind: Sendable, Equatable {
    /// A lab runs there already.
    case running
    /// The directory cannot be used.
    case directory
    /// A program is missing.
    case programMissing
    /// The kernel refused something.
    case system
  }

  public let kind: Kind
  public let description: String

  init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  /// What the kernel refused, with errno's text.
  static func system(_ what: String, _ code: Int32 = errno) -> LabError {
    LabError(.system, "\(what): \(String(cString: strerror(code))).")
  }
}
