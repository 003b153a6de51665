import Glibc
import LabAPI
import Logging
import Primitives
import RPC

/// Starts, watches, restarts and ends the units of a lab, as systemd does on a host.
///
/// Runs on a thread of its own (`EventLoop`), so nothing of it is ever concurrent; it waits for no unit.
actor LabSupervisor {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  let configuration: LabConfiguration
  let paths: LabPaths
  let listeners: [String: Int32]
  let notifySocket: Int32
  let logger: Logger
  var units: [UnitName: Unit] = [:]
  var followers: [Int: AsyncStream<LabUnit>.Continuation] = [:]
  /// Services whose sockets are watched because no instance runs.
  var activating: Set<ServiceName> = []
  var isEnding = false
  private var lastFollower = 0

  /// - Parameter listeners: The sockets that units are handed, by name.
  init(
    _ configuration: LabConfiguration, listeners: [String: Int32], notifySocket: Int32, logger: Logger
  ) throws(LabError) {
    loop = try EventLoop()
    self.configuration = configuration
    paths = LabPaths(directory: configuration.directory)
    self.listeners = listeners
    self.notifySocket = notifySocket
    self.logger = logger
    for name in UnitName.standing { units[name] = Unit(name) }
  }

  /// Begins to listen to the units, and starts those that a host always has. Does not wait for them.
  func begin() {
    loop.watch(notifySocket) { [weak self] in self?.assumeIsolated { $0.receiveNotifications() } }
    for name in UnitName.standing {
      guard let unit = units[name] else { continue }
      unit.isStopped = false
      launch(unit)
    }
  }

  // MARK: What the lab's API asks

  /// All units: those that a host always has, and the guests that ever ran.
  func list() -> [LabUnit] {
    let order = Dictionary(uniqueKeysWithValues: UnitName.standing.enumerated().map { ($1, $0) })
    return units.values.sorted {
      (order[$0.name] ?? .max, $0.name.description) < (order[$1.name] ?? .max, $1.name.description)
    }.map(\.shown)
  }

  /// One unit, or all of a slice as one: active while any of its processes is left.
  func show(_ name: String) throws(RPCError) -> LabUnit {
    if let slice = SliceName(name) {
      let isActive = units.values.contains { slice.contains($0.name) && $0.process != nil }
      return LabUnit(unit: name, activeState: isActive ? "active" : "inactive", result: "success")
    }
    return try unit(name).shown
  }

  /// Starts a unit and answers when it is ready.
  func start(_ name: String) async throws(RPCError) -> LabUnit {
    let unit = try unit(name)
    if isEnding { throw RPCError(CommonFailure.stopping, "The lab is ending.") }
    if unit.state == .active { return unit.shown }
    if isShot(unit.name.module) {
      if unit.process == nil { unit.result = .condition }
      throw conditionFailed(unit)
    }
    let answer: Unit.Answer = await withCheckedContinuation { continuation in
      unit.waitsForStart.append(continuation)
      if unit.process == nil {
        unit.isStopped = false
        launch(unit)
      } else if unit.isStopped {
        unit.startsAfterStop = true
      }
    }
    return try answer.get()
  }

  /// Ends a unit, or all of a slice, and answers when none of its processes is left.
  func stop(_ name: String) async throws(RPCError) -> LabUnit {
    if let slice = SliceName(name) {
      await stop(units.keys.filter { slice.contains($0) })
      return try show(name)
    }
    return await stop(try unit(name).name)
  }

  /// Sends a signal to all processes of a unit or of a slice.
  func kill(_ name: String, signal: Int32) throws(RPCError) {
    if let slice = SliceName(name) {
      let processes = units.values.filter { slice.contains($0.name) }.compactMap(\.process)
      // All main groups first: a module's loss is one instant.
      for process in processes { Glibc.kill(-process.processID, signal) }
      let table = ProcessTable.all()
      for process in processes { process.signalStrays(signal, in: table) }
    } else {
      try unit(name).process?.signal(signal)
    }
  }

  /// Each unit's state, and then each change.
  func follow() -> AsyncStream<LabUnit> {
    lastFollower += 1
    let number = lastFollower
    let (stream, continuation) = AsyncStream.makeStream(of: LabUnit.self)
    followers[number] = continuation
    continuation.onTermination = { [weak self] _ in Task { await self?.unfollow(number) } }
    for unit in list() { continuation.yield(unit) }
    return stream
  }

  /// Ends all units in an order in which none takes the end of another for a failure.
  func end() async {
    isEnding = true
    for group in endingOrder() { await stop(group) }
    for follower in followers.values { follower.finish() }
    followers = [:]
    loop.unwatch(notifySocket)
  }

  // MARK: Parts of these

  private func unfollow(_ number: Int) { followers[number] = nil }

  /// Who would react to an end comes first: the supervisor of modules, then the monitor of virtual machines.
  private func endingOrder() -> [[UnitName]] {
    func instances(_ service: ServiceName) -> [UnitName] { ModuleID.all(of: .cpu).map { .service(service, $0) } }
    let guests = units.keys.filter { !$0.isDaemon }
    let agents = ModuleID.all(of: .cpu).map { UnitName.agent($0) }
    return [instances(.hardware), instances(.vm), guests, instances(.storage) + agents, instances(.alerts)]
  }

  private func stop(_ names: [UnitName]) async {
    await withTaskGroup(of: Void.self) { tasks in
      for name in names { tasks.addTask { await self.stop(name) } }
    }
  }

  @discardableResult
  private func stop(_ name: UnitName) async -> LabUnit {
    guard let unit = units[name] else { return Unit(name).shown }
    unit.isStopped = true
    unit.startsAfterStop = false
    loop.cancel(unit.restartTimer)
    unit.restartTimer = nil
    guard let process = unit.process else {
      if unit.state != .failed { change(unit, .inactive) }
      answerStarts(unit, .failure(failed(unit, "was stopped")))
      return unit.shown
    }
    return await withCheckedContinuation { continuation in
      unit.waitsForStop.append(continuation)
      guard unit.stopTimer == nil else { return }
      change(unit, .deactivating)
      process.signal(SIGTERM)
      process.signal(SIGCONT)
      unit.stopTimer = loop.after(configuration.timing.stop) { [weak self] in
        self?.assumeIsolated { $0.killAfterStopTimeout(name) }
      }
    }
  }

  private func killAfterStopTimeout(_ name: UnitName) {
    guard let unit = units[name], let process = unit.process else { return }
    logger.warning("A unit did not end in time and is killed.", metadata: ["unit": "\(name)"])
    unit.cause = .timeout
    process.signal(SIGKILL)
  }

  private func unit(_ text: String) throws(RPCError) -> Unit {
    guard let name = UnitName(text) else {
      throw RPCError(
        LabFailure.noSuchUnit,
        "The lab has no unit \(text); ftctl lab status lists those it has.", data: ["unit": .string(text)])
    }
    if let unit = units[name] { return unit }
    let unit = Unit(name)
    units[name] = unit
    return unit
  }

  func isShot(_ module: ModuleID) -> Bool { access(paths.host.shotMark(module), F_OK) == 0 }

  func conditionFailed(_ unit: Unit) -> RPCError {
    RPCError(
      LabFailure.unitFailed, "\(unit.name) is not started while \(paths.host.shotMark(unit.name.module)) exists.",
      data: ["unit": .string(unit.name.description), "result": .string(UnitResult.condition.rawValue)])
  }

  func failed(_ unit: Unit, _ what: String) -> RPCError {
    RPCError(
      LabFailure.unitFailed, "\(unit.name) \(what); \(paths.log(of: unit.name.description)) has its output.",
      data: ["unit": .string(unit.name.description), "result": .string(unit.result.rawValue)])
  }

  /// Answers those who wait for the start.
  func answerStarts(_ unit: Unit, _ answer: Unit.Answer) {
    let waiters = unit.waitsForStart
    unit.waitsForStart = []
    for waiter in waiters { waiter.resume(returning: answer) }
  }

  /// Notes a change and tells the followers.
  func change(_ unit: Unit, _ state: UnitState) {
    let before = unit.state
    unit.state = state
    if before != state { announce(unit) }
  }

  func announce(_ unit: Unit) {
    let shown = unit.shown
    for follower in followers.values { follower.yield(shown) }
  }

}
