import ControlState
import Primitives
import RPCSocket
import ServiceAPI
import Synchronization

/// What this process is doing, for all who ask: the methods `service.*`, the watchdog, the status line.
final class Instance: Sendable {
  /// Where it is in its life.
  enum Phase: Sendable {
    /// Waits for the lease.
    case standby
    /// Holds the lease, opens its state and becomes active.
    case activating
    /// Holds the lease; its state was refused, for this reason.
    case recovery(problem: String)
    case active
    /// Hands over.
    case stopping
  }

  private struct State {
    var phase = Phase.standby
    var isReady = false
    var activeSinceMilliseconds: Int64 = 0
    var control: ControlState?
    var server: RPCServer?
  }

  let service: ServiceName
  let module: ModuleID
  private let state = Mutex(State())

  init(service: ServiceName, module: ModuleID) {
    self.service = service
    self.module = module
  }

  var phase: Phase {
    get { state.withLock { $0.phase } }
    set { state.withLock { $0.phase = newValue } }
  }

  /// The service's state, once it is open.
  var control: ControlState? {
    get { state.withLock { $0.control } }
    set { state.withLock { $0.control = newValue } }
  }

  /// What serves now.
  var server: RPCServer? {
    get { state.withLock { $0.server } }
    set { state.withLock { $0.server = newValue } }
  }

  var epoch: Int64 { control?.epoch ?? 0 }

  /// Whether this call is the one that makes it ready.
  func becomesReady() -> Bool {
    state.withLock { state in
      defer { state.isReady = true }
      return !state.isReady
    }
  }

  func becomeActive() {
    state.withLock { state in
      state.phase = .active
      state.activeSinceMilliseconds = wallClockMilliseconds()
    }
  }

  /// What `service.status` answers.
  func status() -> ServiceStatus {
    let (phase, since, control) = state.withLock { ($0.phase, $0.activeSinceMilliseconds, $0.control) }
    let role: ServiceRole
    var problem: String?
    switch phase {
    case .standby: role = .standby
    case .activating, .active, .stopping: role = .active
    case .recovery(let explanation):
      role = .recovery
      problem = explanation
    }
    let legs = control?.legs() ?? []
    return ServiceStatus(
      service: service, module: module, role: role, epoch: control?.epoch ?? 0, activeSinceMilliseconds: since,
      processID: Int(ProcessFacts.identifier), version: Daemon.version, legs: legs,
      problem: problem ?? Self.problem(of: legs))
  }

  /// What is wrong with the legs, where something is.
  private static func problem(of legs: [LegStatus]) -> String? {
    let sentences = legs.filter { $0.state != .inStep }.map { leg in
      switch leg.state {
      case .resyncing: "Leg \(leg.leg.rawValue) is being brought up to date; until then the state is on one leg only."
      default: "Leg \(leg.leg.rawValue) is not in step" + (leg.reason.map { ": \($0)" } ?? ".")
      }
    }
    return sentences.isEmpty ? nil : sentences.joined(separator: " ")
  }

  /// The line that `systemctl status` shows.
  var statusLine: String {
    switch phase {
    case .standby: "standby on \(module.rawValue): ready, waits for the lease"
    case .activating: "holds the lease on \(module.rawValue), opens its state"
    case .recovery(let problem): "refuses to serve on \(module.rawValue): \(problem)"
    case .active: "active on \(module.rawValue), epoch \(epoch)"
    case .stopping: "hands over"
    }
  }
}
