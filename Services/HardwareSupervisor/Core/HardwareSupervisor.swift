import AlertAPI
import ControlState
import HardwareAPI
import Logging
import Primitives
import RPC
import Synchronization
import UnitManager

/// The modules of the host: their states, their failures, their return.
///
/// Every decision is one durable transaction that stores the new state together with the task that follows from it;
/// the task is then carried out by a driver, one a module, whose steps may be repeated. So a supervisor that takes
/// over finishes what its predecessor had begun.
public actor HardwareSupervisor {
  let limits: HardwareLimits
  let around: Surroundings
  let units: any UnitManager
  let state: ControlState
  let store: ModuleStore
  let logger: Logger

  var records: [ModuleID: ModuleRecord] = [:]
  /// Grows with each change of a module's record, so that a driver notices that its task is no longer the one to do.
  var revisions: [ModuleID: Int] = [:]
  var agents: [ModuleID: Agent] = [:]
  /// When those were last heard; noted without this actor's turn.
  nonisolated let heartbeats = Heartbeats()
  /// Modules that failed, until it is decided what becomes of them.
  var suspects: [ModuleID: FailureCause] = [:]
  /// Modules whose driver runs.
  var driving: Set<ModuleID> = []
  var waiters: [Waiter] = []
  /// What a module that starts waits for, in words; not stored.
  var progress: [ModuleID: String] = [:]
  var launches: [String: Launch] = [:]
  /// Until then an agent that has not attached since this instance took over may still come.
  var graceUntil: Int64 = 0
  var attachments = 0
  var missedHeartbeats = 0
  private(set) var isStopped = false
  /// Set, from anywhere, when the other instance is about to take over.
  private let handover = Atomic(false)
  /// Tasks of this actor that have not ended: with each asleep, nothing happens until time passes.
  private(set) var activity = 0

  private var followers: [Int: AsyncThrowingStream<ModuleStatus, any Error>.Continuation] = [:]
  private var followersSeen = 0
  private var isCommitting = false
  private var commitQueue: [CheckedContinuation<Void, Never>] = []

  /// A supervisor that does nothing until `start()`.
  public init(
    limits: HardwareLimits, around: Surroundings, units: any UnitManager, state: ControlState, logger: Logger
  ) {
    self.limits = limits
    self.around = around
    self.units = units
    self.state = state
    store = ModuleStore(state)
    self.logger = logger
  }

  var now: Int64 { around.clock.nanoseconds }

  /// Waits, as far as this instance is concerned.
  func pause(_ nanoseconds: Int64) async { await around.clock.sleep(nanoseconds: nanoseconds) }

  /// Runs work beside everything else.
  func spawn(_ work: @escaping @Sendable () async -> Void) {
    activity += 1
    Task {
      await work()
      activity -= 1
    }
  }

  /// Reads what is stored, completes it, and goes on with what was begun.
  ///
  /// - Throws: when the state cannot be read or written.
  public func start() async throws(RPCError) {
    let host = try await store.load()
    records = host.modules
    graceUntil = now + limits.attachGrace
    var marked: Set<ModuleID> = []
    for module in ModuleID.allCases where await around.marks.exists(module) { marked.insert(module) }
    let isNewStart = host.boot != around.boot
    try await commit(boot: isNewStart ? around.boot : nil) { draft throws(RPCError) in
      for module in ModuleID.allCases {
        if isNewStart || draft.records[module] == nil { draft.begin(module) }
        draft.reconcile(module, isMarked: marked.contains(module))
      }
    }
    // An agent whose process is gone will not attach again: nothing is waited for.
    for module in ModuleID.all(of: .cpu) where records[module]?.state == .online && !isAgentProcessThere(module) {
      suspect(module, .agentNotRunning)
    }
    for module in ModuleID.allCases { kick(module) }
  }

  /// Watches agents and legs until the task is cancelled.
  public func run() async throws {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.watchAgents() }
      group.addTask { await self.watchLegs() }
      group.addTask { await self.followOwnLegs() }
    }
  }

  /// Ends all work at its next step: nothing more is decided, stored or killed by this instance.
  public func stop() {
    isStopped = true
    heartbeats.disturb()
    for follower in followers.values { follower.finish() }
    followers = [:]
    let waiting = waiters
    waiters = []
    for waiter in waiting { waiter.continuation.resume(returning: .superseded) }
  }

  /// The other instance is about to take over: connections that end from now on say nothing about agents.
  public nonisolated func handOver() { handover.store(true, ordering: .sequentiallyConsistent) }

  nonisolated var isHandingOver: Bool { handover.load(ordering: .sequentiallyConsistent) }

  /// Prepares the hand-over to the other instance: agents that are being stopped in good order with this host or unit
  /// are noted, so that their successors do not count as returns after a failure.
  public func drain() async {
    for module in ModuleID.all(of: .cpu) where records[module]?.state == .online {
      guard let status = try? await units.status(UnitNames.agent(module)), status.isOrderlyEnd else { continue }
      _ = try? await commit { draft throws(RPCError) in draft.records[module]?.incarnation = nil }
    }
    stop()
  }

  // MARK: Decisions

  /// Makes a decision: `body` changes the draft, which is stored durably, then takes effect, then is published.
  /// Decisions are made one after the other; each sees the effect of those before it.
  ///
  /// - Returns: the modules' revisions right after it.
  @discardableResult
  func commit(
    boot: String? = nil, _ body: (inout Draft) throws(RPCError) -> Void
  ) async throws(RPCError) -> [ModuleID: Int] {
    await enter()
    defer { leave() }
    guard !isStopped else {
      throw RPCError(CommonFailure.stopping, "The service is handing over to its other instance; repeat the call.")
    }
    let before = records
    var draft = Draft(records: before, milliseconds: around.clock.millisecondsSinceEpoch)
    try body(&draft)
    let changed = draft.records.values.filter { before[$0.module] != $0 }
    guard !changed.isEmpty || boot != nil else { return revisions }
    do {
      try await store.save(changed, boot: boot)
    } catch {
      // It may have been stored all the same: what counts is what is there.
      if let stored = try? await store.load().modules { adopt(stored, since: before) }
      throw error
    }
    guard !isStopped else { return revisions }
    adopt(draft.records, since: before)
    for alert in draft.alerts + PendingAlert.ofPairs(before: before, after: draft.records) {
      alert.publish(around.alerts)
    }
    return revisions
  }

  private func adopt(_ new: [ModuleID: ModuleRecord], since old: [ModuleID: ModuleRecord]) {
    records = new
    heartbeats.disturb()
    for module in ModuleID.allCases where old[module] != new[module] {
      revisions[module, default: 0] += 1
      if let record = new[module] {
        if record.task == .none { progress[module] = nil }
        logger.info(
          "module",
          metadata: [
            "module": "\(module)", "state": "\(record.state)", "task": "\(record.task)",
            "reason": "\(record.reason ?? "")",
          ])
      }
      announce(module)
    }
  }

  private func enter() async {
    guard isCommitting else {
      isCommitting = true
      return
    }
    await withCheckedContinuation { commitQueue.append($0) }
  }

  private func leave() {
    if commitQueue.isEmpty { isCommitting = false } else { commitQueue.removeFirst().resume() }
  }

  // MARK: Followers

  /// Every module's status now, then each change.
  public func follow() throws(RPCError) -> AsyncThrowingStream<ModuleStatus, any Error> {
    guard followers.count < limits.followers else {
      throw RPCError(
        CommonFailure.limitExceeded,
        "\(limits.followers) clients follow the modules already. End one of them, or follow over one connection.")
    }
    let (stream, continuation) = AsyncThrowingStream<ModuleStatus, any Error>.makeStream(
      bufferingPolicy: .bufferingOldest(limits.followerEvents))
    followersSeen += 1
    let follower = followersSeen
    for module in ModuleID.allCases { continuation.yield(status(of: module)) }
    followers[follower] = continuation
    continuation.onTermination = { _ in Task { await self.forget(follower) } }
    return stream
  }

  private func forget(_ follower: Int) { followers[follower] = nil }

  private func announce(_ module: ModuleID) {
    let status = status(of: module)
    for (follower, continuation) in followers {
      guard case .dropped = continuation.yield(status) else { continue }
      followers[follower] = nil
      continuation.finish(
        throwing: RPCError(
          CommonFailure.limitExceeded, "The follower left \(limits.followerEvents) changes unread. Follow anew."))
    }
  }
}

extension UnitStatus {
  /// Whether the unit was asked to end, rather than ended by itself.
  var isOrderlyEnd: Bool { activeState == .deactivating || (activeState == .inactive && result == "success") }
}
