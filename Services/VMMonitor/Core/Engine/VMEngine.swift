import DomainXML
import Primitives
import RPC

/// What runs virtual machines: QEMU, or a scripted one in tests.
///
/// The process itself is a unit of its module's slice, started and stopped through the unit manager; the engine says
/// what that unit is to run and talks to it.
public protocol VMEngine: Sendable {
  /// Writes down what the guest's unit runs, and removes what an earlier run of it left behind.
  func prepare(_ plan: GuestPlan) async throws(EngineError)

  /// Connects to a guest whose unit runs, whoever started it.
  ///
  /// - Parameters:
  ///   - patience: how long it may take until the guest's process listens.
  ///   - answerTime: how long the process may then take for each answer, now and later.
  func attach(
    slot: Int, module: ModuleID, patience: Duration, answerTime: Duration
  ) async throws(EngineError) -> any VMInstance

  /// Whether a guest that could not be started with the host's accelerator may be tried without.
  var mayEmulate: Bool { get }

  /// Whether the last run in a slot is known to have ended by itself and in good order: a guest that shut down.
  func endedInOrder(slot: Int, module: ModuleID) async -> Bool
}

/// A guest that the monitor is connected to.
public protocol VMInstance: AnyObject, Sendable {
  /// What runs it, with the accelerator: `qemu/kvm`.
  var engine: String { get }
  /// What it does from the moment of attachment; ends when the connection does.
  var events: AsyncStream<EngineEvent> { get }
  /// What it is doing.
  func status() async throws(EngineError) -> EngineStatus
  /// Lets its processors run.
  func resume() async throws(EngineError)
  /// Has its balloon leave it that many bytes.
  func setMemory(bytes: Int64) async throws(EngineError)
  /// Stops its processors; everything that it wrote is flushed to its disks when this returns.
  func pause() async throws(EngineError)
  /// Presses its reset button.
  ///
  /// - Parameter whereRebootEnds: a reboot by the guest itself is its end, which this is not.
  func reset(whereRebootEnds: Bool) async throws(EngineError)
  /// Sends a non-maskable interrupt to its processors.
  func interrupt() async throws(EngineError)
  /// Presses keys of its keyboard together.
  ///
  /// - Parameters:
  ///   - keys: names as in `KeyNames`.
  ///   - milliseconds: how long they are held.
  func press(_ keys: [String], holding milliseconds: Int) async throws(EngineError)
  /// A picture of its screen, PNG.
  func screenshot() async throws(EngineError) -> [UInt8]
  /// Presses its power button.
  func powerDown() async throws(EngineError)
  /// Has the guest's own agent do something, by the commands of QEMU's (QEMU, qga/qapi-schema.json).
  ///
  /// - Parameter time: how long all of it may take. A guest without an agent, or one that stands still, does not answer.
  func askAgent(
    _ command: String, _ arguments: JSONValue?, within time: Duration
  ) async throws(EngineError) -> JSONValue
  /// What it counted.
  func statistics() async throws(EngineError) -> EngineStatistics
  /// Writes its memory and devices to a descriptor. It is paused before, and was flushed to its disks.
  func save(to descriptor: Int32) async throws(EngineError)
  /// Ends a save that is under way; when this returns it can be resumed. None is no error.
  func cancelSave() async throws(EngineError)
  /// Reads memory and devices from a descriptor into a process that was prepared for that; it is paused then.
  func load(from descriptor: Int32) async throws(EngineError)
  /// Lets go of it; the guest runs on.
  func close()
}

/// What a guest is doing.
public enum EngineStatus: String, Sendable, Equatable {
  /// Started, and its processors have not run yet.
  case waiting
  case running
  /// Stopped in mid-run, by an I/O error or on demand.
  case paused
  /// Shut down; its process is about to end.
  case ended
}

/// What a guest does.
public enum EngineEvent: Sendable, Hashable {
  case resumed
  /// Its processors were stopped; the reason is a sentence.
  case paused(reason: String)
  /// It shut itself down, or was asked to.
  case shutDown
  /// It was ended from outside; the word says how.
  case ended(String)
  /// It was reset: by itself, or from outside.
  case reset(byGuest: Bool)
  /// Its system reported that it crashed.
  case panicked
  /// Its watchdog was not served in time; the word says what the engine did about it.
  case watchdog(String)
  /// Its power button was pressed.
  case askedToShutDown
}

/// Why an engine failed.
public enum EngineError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The process did not answer in time, or no longer does.
  case notAnswering(String)
  /// It answered with an error.
  case refused(String)
  /// What it needs could not be written.
  case notPrepared(String)

  public var description: String {
    switch self {
    case .notAnswering(let text): "The process of the virtual machine does not answer: \(text)."
    case .refused(let text): "The process of the virtual machine refused: \(text)."
    case .notPrepared(let text): "The start of the virtual machine could not be prepared: \(text)."
    }
  }
}

/// All that a guest's process is made of.
public struct GuestPlan: Sendable, Equatable {
  /// What the NBD server serves to the guest.
  public struct Export: Sendable, Equatable {
    public var name: String
    public var socketPath: String

    public init(name: String, socketPath: String) {
      self.name = name
      self.socketPath = socketPath
    }
  }

  /// A disk with the export that serves it.
  public struct Disk: Sendable, Equatable {
    public var disk: Domain.Disk
    public var export: Export

    public init(disk: Domain.Disk, exportName: String, socketPath: String) {
      self.disk = disk
      export = Export(name: exportName, socketPath: socketPath)
    }

    public var exportName: String { export.name }
    public var socketPath: String { export.socketPath }
  }

  /// Guest memory in a file that the units of both modules can map.
  public enum SharedMemory: Sendable, Equatable {
    /// A new file: nothing of an earlier run is in it.
    case new
    /// The file of the process that the guest comes from.
    case existing
  }

  public var domain: Domain
  public var uuid: String
  public var slot: Int
  public var module: ModuleID
  /// Those with a medium.
  public var disks: [Disk]
  /// Where UEFI firmware keeps its variables.
  public var variables: Export?
  /// Whether it waits for memory and devices: that were saved, or that come from another process.
  public var isRestored: Bool
  /// Nil: its memory is its own, and is copied when it moves.
  public var sharedMemory: SharedMemory?

  public init(
    domain: Domain, uuid: String, slot: Int, module: ModuleID, disks: [Disk], variables: Export? = nil,
    isRestored: Bool = false, sharedMemory: SharedMemory? = nil
  ) {
    self.domain = domain
    self.uuid = uuid
    self.slot = slot
    self.module = module
    self.disks = disks
    self.variables = variables
    self.isRestored = isRestored
    self.sharedMemory = sharedMemory
  }
}
