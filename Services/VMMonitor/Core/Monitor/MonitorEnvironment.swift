import AlertAPI
import ControlState
import HostConfiguration
import Logging
import Primitives
import RPC
import UnitManager

/// All that the VM monitor stands on.
public struct MonitorEnvironment: Sendable {
  public typealias Publish =
    @Sendable (
      _ severity: Severity, _ kind: String, _ subject: String, _ message: String, _ data: [String: JSONValue]
    ) -> Void

  public var state: ControlState
  public var units: any UnitManager
  public var engine: any VMEngine
  public var consoles: ConsoleConnector?
  public var hardware: any RPCCaller
  public var storage: any RPCCaller
  /// Publishes an alert; never waits.
  public var publish: Publish
  public var paths: HostPaths
  /// CPU module of this instance: certainly alive.
  public var module: ModuleID
  /// Differs after every start of the host, and only then.
  public var bootIdentity: String
  /// The Unix user of the guests of a slot, or nil when the host has none.
  public var guestUser: @Sendable (_ slot: Int) async -> UInt32?
  /// What a guest's unit takes of the host.
  public var usage: @Sendable (_ unit: String, _ module: ModuleID, _ processID: Int?) async -> GuestUsage
  public var timing: MonitorTiming
  public var logger: Logger

  public init(
    state: ControlState, units: any UnitManager, engine: any VMEngine, consoles: ConsoleConnector?,
    hardware: any RPCCaller, storage: any RPCCaller, publish: @escaping Publish, paths: HostPaths, module: ModuleID,
    bootIdentity: String, guestUser: @escaping @Sendable (_ slot: Int) async -> UInt32?,
    usage: @escaping @Sendable (_ unit: String, _ module: ModuleID, _ processID: Int?) async -> GuestUsage =
      GuestUsage.reader(),
    timing: MonitorTiming = MonitorTiming(), logger: Logger
  ) {
    self.state = state
    self.units = units
    self.engine = engine
    self.consoles = consoles
    self.hardware = hardware
    self.storage = storage
    self.publish = publish
    self.paths = paths
    self.module = module
    self.bootIdentity = bootIdentity
    self.guestUser = guestUser
    self.usage = usage
    self.timing = timing
    self.logger = logger
  }
}

/// Every wait of the monitor.
public struct MonitorTiming: Sendable {
  /// How long a guest's process may take until it listens, and for each of its answers. Long: a process that is merely slow
  /// is not to be ended, and one that has ended is noticed by its end.
  public var answerTime = Duration.seconds(15)
  /// How long a guest's agent may take for an answer.
  public var agentAnswer = Duration.seconds(5)
  /// How long it may take to bring file systems to rest, which writes what is in memory.
  public var agentFreeze = Duration.seconds(30)
  /// How long a guest may take to heed its power button before its agent is asked.
  public var agentShutdown = Duration.seconds(5)
  /// How long a leg may take for a definition's file before the rest goes on without it.
  public var legAnswer = Duration.seconds(3)
  /// How long a leg may take for a part of a saved state, 64 MiB that are forced to disk, before the rest goes on without it.
  public var savedStateAnswer = Duration.seconds(20)
  /// How long a takeover leaves the definitions' files alone.
  public var reconcilePause = Duration.milliseconds(500)
  /// Between looks at whether definitions were edited by hand.
  public var definitionLook = Duration.seconds(30)
  /// Between looks at whether the process of a new guest, which does not listen yet, is still there.
  public var startLook = Duration.milliseconds(250)
  /// How long to wait for the hardware supervisor's choice before taking the own module.
  public var placePatience = Duration.milliseconds(500)
  /// How long to wait for the reason of a module's loss that its mark tells of.
  public var markPatience = Duration.milliseconds(50)
  /// How long the end of a stop waits for storage to end the disks' sessions before it is left to a later repeat.
  public var releasePatience = Duration.seconds(5)
  /// From the end of a guest's connection, which comes before that of its process, to another look at that.
  public var lookAgain = Duration.milliseconds(250)
  /// How long a process that was there may refuse connections before it is looked whether it is gone: at first, and doubled up to
  /// `lookAgain`.
  public var firstLook = Duration.milliseconds(10)
  /// Between attempts to bring a virtual machine back: first, and at most. Doubled in between.
  public var firstBackoff = Duration.milliseconds(100)
  public var longestBackoff = Duration.seconds(15)
  /// A virtual machine that ran this long counts as healthy: its next failure is handled without a pause.
  public var healthy = Duration.seconds(10)
  /// Guests that are restarted, or started with the host, at once.
  public var startsAtOnce = 4
  /// When a guest that keeps failing is no longer restarted.
  public var quarantine = QuarantinePolicy()
  /// Between attempts to let a guest go on that an I/O error stopped.
  public var resumeInterval = Duration.seconds(5)
  /// Between samples of what guests use.
  public var sampleInterval = Duration.seconds(5)
  /// Between alerts of the same kind about what one guest does.
  public var reportInterval = Duration.seconds(10)
  /// How often the time of the last sign of life is written.
  public var lifeSign = Duration.seconds(1)
  /// Wall clock, in milliseconds since 1970.
  public var now: @Sendable () -> Int64 = { WallClock.milliseconds }

  public init() {}
}
