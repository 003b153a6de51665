import AlertAPI
import ControlState
import Foundation
import HardwareAPI
import Logging
import Primitives
import RPC
import ServiceAPI
import Synchronization
import Testing
import UnitManager

@testable import HardwareSupervisorCore

struct RecordedAlert: Sendable {
  var severity: Severity
  var kind: String
  var subject: String
  var message: String
  var data: [String: JSONValue]
}

/// A host whose time, units, agents and legs are simulated, and whose state is a real one in a directory of its own.
///
/// The supervisor runs on the module whose unit runs and that has the lease; it dies with its slice, and the other
/// instance takes over.
@MainActor
final class SimulatedHost {
  let directory: String
  let clock = ManualClock()
  let units: FakeUnits
  let alerts = AlertLog()
  let legs = FakeLegs()
  var boot = "boot-1"
  /// Steps after which the next supervisor dies.
  var nextLife: Int?
  /// The leg that the state is opened from by force.
  var forcedLeg: LegID?
  /// Modules whose agents run and say nothing.
  var silent: Set<ModuleID> = []
  /// Whether someone used force, so that both modules of a pair may be shot.
  var isForced: Bool {
    get { forced.isSet }
    set { if newValue { forced.set() } }
  }
  private let forced = Flag()

  private(set) var supervisor: HardwareSupervisor?
  private(set) var module: ModuleID?
  private var instance: Instance?
  private var agents: [ModuleID: Attached] = [:]
  private var takeovers = 0

  private struct Instance {
    let life: Life
    let process: Int32
    let state: ControlState
    let clock: InstanceClock
    let watchers: [Task<Void, Never>]
  }
  private struct Attached {
    let process: Int32
    let attachment: Int
    let takeover: Int
    let stream: AsyncThrowingStream<AgentInstruction, any Error>
    var sequence: Int64 = 0
  }

  init() throws {
    let directory = NSTemporaryDirectory() + "ftvs-hardware-\(UUID().uuidString)"
    self.directory = directory
    for name in ["shot", "io0", "io1", "local"] {
      try FileManager.default.createDirectory(atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
    }
    units = FakeUnits(clock: clock) { "\(directory)/shot/\($0.rawValue)" }
    units.boot()
  }

  func remove() async {
    await crash()
    try? FileManager.default.removeItem(atPath: directory)
  }

  // MARK: Time

  /// Lets time pass until something holds.
  func until(
    _ what: String, within milliseconds: Int = 10_000, _ location: SourceLocation = #_sourceLocation,
    _ holds: (SimulatedHost) async -> Bool
  ) async throws {
    for _ in 0...(milliseconds / 5) {
      if await holds(self) { return }
      try await step()
    }
    let list =
      await supervisor?.modules().modules.map {
        "\($0.module) \($0.state) \($0.failures) \($0.reason ?? "")"
      } ?? ["none"]
    Issue.record("\(what) did not come true: \(list.joined(separator: "; "))", sourceLocation: location)
    throw CancellationError()
  }

  func pass(milliseconds: Int) async throws {
    for _ in 0..<max(1, milliseconds / 5) { try await step() }
  }

  /// Five milliseconds of the host's life.
  func step() async throws {
    await settle()
    if let instance, instance.life.isOver || units.process(hardware(module)) != instance.process { await crash() }
    units.restart()
    if supervisor == nil { try await takeOver() }
    await beat()
    checkMarks()
    await settle()
    clock.advance(milliseconds: 5)
  }

  /// Waits until every task of the supervisor waits for time to pass, and the copy of its state, which knows no simulated time,
  /// is done.
  private func settle() async {
    guard let supervisor, let instance else { return }
    for round in 0..<200_000 {
      if instance.life.isOver { return }
      let activity = await supervisor.activity
      let isCopying = instance.state.legs().contains { $0.state == .resyncing }
      if !isCopying, clock.sleepers(of: instance.clock.owner) >= activity + instance.watchers.count { return }
      if round % 50 == 49 { try? await Task.sleep(for: .microseconds(200)) } else { await Task.yield() }
    }
    Issue.record("the supervisor does not come to rest")
  }

  // MARK: The supervisor's instances

  private func hardware(_ module: ModuleID?) -> String { "ftvs-hardware@\(module?.rawValue ?? "").service" }

  /// SIGKILL of the supervisor's process.
  func killSupervisor() { units.die([hardware(module)]) }

  private func crash() async {
    guard let instance, let supervisor else { return }
    instance.life.end()
    if units.process(hardware(module)) == instance.process { killSupervisor() }
    self.instance = nil
    self.supervisor = nil
    await supervisor.stop()
    for watcher in instance.watchers { watcher.cancel() }
    await instance.state.close()
  }

  private func takeOver() async throws {
    let candidates: [ModuleID] = module == .cpu0 ? [.cpu1, .cpu0] : [.cpu0, .cpu1]
    guard let next = candidates.first(where: { self.units.process(hardware($0)) != nil }),
      let process = self.units.process(hardware(next))
    else { return }
    takeovers += 1
    module = next
    let life = Life(steps: nextLife)
    nextLife = nil
    let state = try await openState()
    let view = clock.view(life)
    let directory = self.directory
    let units = self.units
    let forced = self.forced
    let surroundings = Surroundings(
      module: next, boot: boot, clock: view, alerts: InstanceAlerts(log: alerts, life: life), legs: legs,
      leases: FakeLeases(process: process),
      marks: InstanceMarks(marks: FileShotMarks { "\(directory)/shot/\($0.rawValue)" }, life: life),
      paths: FilePathMarks { "\(directory)/path/\($0.rawValue).\($1)" },
      processExists: { process in units.state.withLock { $0.units.values.contains { $0.process == process } } })
    let manager = InstanceUnits(
      units: units, life: life,
      willKill: { slice in
        let partner: ModuleID = slice.contains("cpu0") ? .cpu1 : .cpu0
        if !forced.isSet { #expect(!units.isMarked(partner), "\(slice) is killed while \(partner) is shot") }
      },
      didEnd: { if units.process("ftvs-hardware@\(next.rawValue).service") != process { life.end() } })
    var logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    logger.logLevel = .critical
    let supervisor = HardwareSupervisor(
      limits: HardwareLimits(heartbeatBoundMilliseconds: 100), around: surroundings, units: manager, state: state,
      logger: logger)
    // A start that is cut short by the instance's death never returns.
    let started = Flag()
    let start = Task {
      do { try await supervisor.start() } catch { Issue.record("start: \(error)") }
      started.set()
    }
    for _ in 0..<100_000 where !started.isSet && !life.isOver { try await Task.sleep(for: .microseconds(50)) }
    let watchers =
      life.isOver ? [start] : [Task { await supervisor.watchAgents() }, Task { await supervisor.watchLegs() }]
    self.supervisor = supervisor
    instance = Instance(life: life, process: process, state: state, clock: view, watchers: watchers)
  }

  private func openState() async throws -> ControlState {
    try await ControlState.open(
      ControlState.Configuration(
        service: .hardware,
        legDirectories: [.io0: "\(directory)/io0/hardware", .io1: "\(directory)/io1/hardware"],
        witness: "\(directory)/local/witness.json",
        shotMarks: [.io0: "\(directory)/shot/io0", .io1: "\(directory)/shot/io1"],
        migrations: ModuleStore.migrations, force: forcedLeg),
      logger: Logger(label: "state", factory: { _ in SwiftLogNoOpLogHandler() }))
  }

  // MARK: Agents

  private func beat() async {
    guard let supervisor, let instance, !instance.life.isOver else { return }
    for module in ModuleID.all(of: .cpu) {
      let process = units.agentProcess(module)
      if let attached = agents[module], attached.process != process || attached.takeover != takeovers {
        agents[module] = nil
        if attached.takeover == takeovers { await supervisor.detach(module, attached.attachment) }
      }
      guard let process else { continue }
      if agents[module] == nil {
        let params = AttachModuleAgent.Params(
          module: module, incarnation: Self.incarnation(process), processID: Int(process))
        guard let stream = try? await supervisor.attach(params) else { continue }
        let attachment = await supervisor.agents[module]?.attachment ?? 0
        agents[module] = Attached(process: process, attachment: attachment, takeover: takeovers, stream: stream)
      }
      guard !silent.contains(module), let sequence = agents[module]?.sequence else { continue }
      agents[module]?.sequence += 1
      await supervisor.heartbeat(
        SendHeartbeat.Params(module: module, incarnation: Self.incarnation(process), sequence: sequence))
    }
  }

  private static func incarnation(_ process: Int32) -> GenerationID {
    var digits = String(process, radix: 16)
    digits = String(repeating: "0", count: 32 - digits.count) + digits
    return GenerationID(rawValue: digits) ?? .random()
  }

  /// An agent is told to end, and says so.
  func endAgent(_ module: ModuleID) async {
    guard let attached = agents[module] else { return }
    await supervisor?.heartbeat(
      SendHeartbeat.Params(
        module: module, incarnation: Self.incarnation(attached.process), sequence: .max, isLast: true))
    units.state.withLock { $0.units["ftvs-module@\(module).service"] = FakeUnits.Unit() }
  }

  // MARK: Faults and facts

  /// The loss of a module: everything on it ends at once.
  func lose(_ module: ModuleID) { units.die(FakeUnits.names(on: module)) }

  private func checkMarks() {
    guard !isForced else { return }
    #expect(!(units.isMarked(.cpu0) && units.isMarked(.cpu1)), "both CPU modules are shot")
  }

  func state(_ module: ModuleID) async -> ModuleState? { await supervisor?.records[module]?.state }
  func status(_ module: ModuleID) async -> ModuleStatus? { await supervisor?.status(of: module) }

  var isDuplex: Bool {
    get async {
      guard let supervisor else { return false }
      return await supervisor.modules().pairs.allSatisfy { $0.state == .duplex }
    }
  }

  func becomesDuplex(_ location: SourceLocation = #_sourceLocation) async throws {
    try await until("duplex", location) { await $0.isDuplex }
  }

  /// Gives a command and lets time pass until it is answered, as a client that repeats a call that was cut short.
  @discardableResult
  func command(
    _ command: ModuleCommand, _ module: ModuleID, reason: String? = nil, force: Bool = false
  ) async throws -> Result<ModuleStatus, RPCError> {
    if let answer = try await tryCommand(command, module, reason: reason, force: force) { return answer }
    Issue.record("\(command) \(module) was not answered")
    throw CancellationError()
  }

  /// The same for a command that may end the host; nil when nobody is left to answer.
  func tryCommand(
    _ command: ModuleCommand, _ module: ModuleID, reason: String? = nil, force: Bool = false
  ) async throws -> Result<ModuleStatus, RPCError>? {
    for _ in 0..<40 {
      // A client waits in the socket's queue meanwhile, for longer than the unit manager does before it restarts.
      for _ in 0..<400 where supervisor == nil { try await step() }
      guard let supervisor, let life = instance?.life else { return nil }
      let answer = Answer()
      Task {
        do throws(RPCError) {
          answer.set(.success(try await supervisor.command(command, module, reason: reason, force: force)))
        } catch { answer.set(.failure(error)) }
      }
      for _ in 0..<4000 {
        if let result = answer.result { return result }
        try await step()
        if life.isOver { break }
      }
    }
    return nil
  }
}

final class Flag: Sendable {
  private let value = Mutex(false)
  var isSet: Bool { value.withLock { $0 } }
  func set() { value.withLock { $0 = true } }
}

final class Answer: Sendable {
  private let value = Mutex<Result<ModuleStatus, RPCError>?>(nil)
  var result: Result<ModuleStatus, RPCError>? { value.withLock { $0 } }
  func set(_ result: Result<ModuleStatus, RPCError>) { value.withLock { $0 = result } }
}

final class AlertLog: Sendable {
  private let list = Mutex<[RecordedAlert]>([])
  var all: [RecordedAlert] { list.withLock { $0 } }
  func kinds(_ subject: String) -> [String] { all.filter { $0.subject == subject }.map(\.kind) }
  func add(_ alert: RecordedAlert) { list.withLock { $0.append(alert) } }
}

struct InstanceAlerts: AlertSink {
  let log: AlertLog
  let life: Life
  func publish(_ severity: Severity, kind: String, subject: String, message: String, data: [String: JSONValue]) {
    guard !life.isOver else { return }
    log.add(RecordedAlert(severity: severity, kind: kind, subject: subject, message: message, data: data))
  }
}

final class FakeLegs: LegProbe {
  private let asked = Mutex<[ServiceName]>([])
  /// Services that were to take back their legs, each once.
  var checked: Set<ServiceName> { asked.withLock { Set($0) } }
  func check(by service: ServiceName) async { asked.withLock { $0.append(service) } }

  private let states = Mutex<[LegID: LegState]>([.io0: .inStep, .io1: .inStep])
  func set(_ leg: LegID, _ state: LegState) { states.withLock { $0[leg] = state } }
  func legs(of service: ServiceName) async -> [LegStatus]? {
    states.withLock { states in
      LegID.allCases.map {
        LegStatus(leg: $0, state: states[$0] ?? .lost, reason: "its disk is gone", sinceMilliseconds: 0)
      }
    }
  }
}

struct FakeLeases: LeaseReader {
  let process: Int32
  func holder(of service: ServiceName) async -> Int32? { service == .hardware ? process : nil }
}
