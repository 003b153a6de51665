import AlertAPI
import DomainXML
import HardwareAPI
import Logging
import Primitives
import RPC
import UnitManager
import VMAPI

/// The VM monitor: knows the virtual machines, keeps those running that should, and never runs one twice.
///
/// What is intended is written down before it is done, so that a monitor that takes over at any moment finishes it. The
/// operations on one virtual machine run one after another (`exclusive`); those on different ones do not wait for each
/// other.
public actor VMMonitor {
  let environment: MonitorEnvironment
  let store: MachineStore
  let files: DefinitionFiles
  let consoles: ConsoleHub
  let savedStates: SavedStateFiles
  let lifeSign: LifeSign
  let marks: ShotMarks
  /// Reads firmware images.
  let templates = BlockingQueue("firmware templates")
  var machines: [VMName: Machine] = [:]
  var modules: [ModuleID: ModuleStatus] = [:]
  /// Definitions that are being written: their slots and UUIDs are taken.
  var reservations: [VMName: MachineRecord] = [:]
  /// Edits by hand that alerts told of.
  var reportedEdits: [VMName: [LegID: Int]] = [:]
  /// The look for edits that began last.
  var noticing: Task<Void, Never>?
  /// Of restarts and starts with the host; somebody's own do not wait.
  var starts: StartGate
  /// KVM is there and does not work.
  var isAcceleratorUnusable = false
  private var queues: [VMName: [CheckedContinuation<Void, Never>]] = [:]
  private var followers: [Int: AsyncThrowingStream<VMEvent, any Error>.Continuation] = [:]
  private var nextFollower = 0

  /// SQL of the service's state, for `ControlState`.
  public static var migrations: [String] { MachineStore.migrations }

  /// Events that a follower may be behind before it is cut off.
  static let followerBacklog = 1024
  /// Name of the setting that holds the start of the host since which KVM is known not to work.
  static let unusableAccelerator = "unusableAccelerator"
  /// Virtual machines of a host: one for each guest unit.
  static let slots = 64

  public init(_ environment: MonitorEnvironment) {
    self.environment = environment
    store = MachineStore(state: environment.state)
    files = DefinitionFiles(environment.paths, bound: environment.timing.legAnswer, logger: environment.logger)
    starts = StartGate(limit: environment.timing.startsAtOnce)
    savedStates = SavedStateFiles(paths: environment.paths, bound: environment.timing.savedStateAnswer)
    consoles = ConsoleHub(environment.paths, connector: environment.consoles)
    lifeSign = LifeSign(environment.paths)
    marks = ShotMarks(environment.paths)
  }

  var timing: MonitorTiming { environment.timing }
  var logger: Logger { environment.logger }
  func now() -> Int64 { environment.timing.now() }

  // MARK: One at a time

  /// Runs an operation on a virtual machine when those before it have ended. It is not cancelled with its caller.
  func exclusive<T: Sendable>(
    _ name: VMName, _ body: @escaping @Sendable (isolated VMMonitor) async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    let task = Task { () -> Result<T, RPCError> in
      await self.enter(name)
      let result: Result<T, RPCError>
      do throws(RPCError) { result = .success(try await body(self)) } catch { result = .failure(error) }
      self.leave(name)
      return result
    }
    return try await task.value.get()
  }

  private func enter(_ name: VMName) async {
    guard queues[name] != nil else {
      queues[name] = []
      return
    }
    await withCheckedContinuation { queues[name, default: []].append($0) }
  }

  private func leave(_ name: VMName) {
    guard var waiting = queues[name], !waiting.isEmpty else {
      queues[name] = nil
      return
    }
    let next = waiting.removeFirst()
    queues[name] = waiting
    next.resume()
  }

  // MARK: Records

  /// Writes a machine's record, then shows it.
  func commit(_ name: VMName, _ change: LedgerChange? = nil, _ edit: (inout MachineRecord) -> Void)
    async throws(RPCError)
  {
    guard var record = machines[name]?.record else { return }
    edit(&record)
    record.note(change)
    try await store.save([(record, change)])
    machines[name]?.record = record
    announce(name)
    // Whoever takes over next must not take it for dead since before it ran.
    if case .up(let time)? = change { await lifeSign.write(time) }
  }

  /// Changes what only this process knows of a machine, then shows it.
  func note(_ name: VMName, _ edit: (inout Machine) -> Void) {
    guard var machine = machines[name] else { return }
    let before = machine.summary
    edit(&machine)
    machines[name] = machine
    if machine.summary != before { announce(name) }
  }

  func machine(_ name: VMName) throws(RPCError) -> Machine {
    guard let machine = machines[name] else {
      throw RPCError(
        VMFailure.noSuchVM, "There is no virtual machine '\(name)'; 'ftctl vm list' shows those there are.",
        data: ["name": .string(name.rawValue)])
    }
    return machine
  }

  func alert(
    _ severity: Severity, _ kind: String, _ name: VMName, _ message: String, _ data: [String: JSONValue] = [:]
  ) {
    environment.publish(severity, kind, name.rawValue, message, data)
  }

  // MARK: Followers

  func announce(_ name: VMName) {
    guard let machine = machines[name] else { return }
    let event = VMEvent(vm: machine.summary)
    for (id, follower) in followers {
      guard case .dropped = follower.yield(event) else { continue }
      follower.finish(
        throwing: RPCError(CommonFailure.limitExceeded, "You read slower than events came; subscribe again."))
      followers[id] = nil
    }
  }

  /// Each virtual machine as it is, then each change.
  func follow() -> AsyncThrowingStream<VMEvent, any Error> {
    let (stream, follower) = AsyncThrowingStream<VMEvent, any Error>.makeStream(
      bufferingPolicy: .bufferingOldest(Self.followerBacklog))
    nextFollower += 1
    let id = nextFollower
    followers[id] = follower
    follower.onTermination = { [weak self] _ in Task { await self?.unfollow(id) } }
    for machine in machines.values.sorted(by: { $0.name < $1.name }) { follower.yield(VMEvent(vm: machine.summary)) }
    return stream
  }

  private func unfollow(_ id: Int) { followers[id] = nil }

  /// Changes go to nobody any more: the service ends.
  public func stopFollowers() {
    for follower in followers.values { follower.finish() }
    followers = [:]
  }
}

extension RPCError {
  /// An engine's failure, as callers see it.
  init(_ error: EngineError, _ name: VMName) {
    self.init(VMFailure.engineFailed, error.description, data: ["name": .string(name.rawValue)])
  }

  /// A unit manager's failure, as callers see it.
  init(_ error: UnitError, _ name: VMName) {
    self.init(VMFailure.engineFailed, error.description, data: ["name": .string(name.rawValue)])
  }
}
