import FTVSClient
import Primitives
import RPC

/// All that the status screen shows; each part may be missing.
struct HostOverview: Sendable {
  typealias Part<T: Sendable> = Result<T, RPCError>

  var modules: Part<ModuleList>
  var placement: Part<GetServices.Result>
  var services: [ServiceName: Part<ServiceStatus>]
  var vms: Part<ListVMs.Result>
  var volumes: Part<ListVolumes.Result>
  var legs: Part<GetLegs.Result>
  var alerts: Part<ListAlerts.Result>

  /// Open alerts that are shown.
  static let alertLimit = 1000

  /// Asks all services at the same time.
  static func fetch(_ session: Session) async -> HostOverview {
    async let modules = part { () async throws(RPCError) in
      try await session.call(GetModules.self, Nothing(), on: .hardware)
    }
    async let placement = part { () async throws(RPCError) in
      try await session.call(GetServices.self, Nothing(), on: .hardware)
    }
    async let hardware = status(session, .hardware)
    async let vm = status(session, .vm)
    async let storage = status(session, .storage)
    async let bus = status(session, .alerts)
    async let vms = part { () async throws(RPCError) in try await session.call(ListVMs.self, Nothing(), on: .vm) }
    async let volumes = part { () async throws(RPCError) in
      try await session.call(ListVolumes.self, Nothing(), on: .storage)
    }
    async let legs = part { () async throws(RPCError) in try await session.call(GetLegs.self, Nothing(), on: .storage) }
    async let alerts = part { () async throws(RPCError) in
      try await session.call(ListAlerts.self, .init(newest: true, limit: alertLimit, state: .open), on: .alerts)
    }
    return await HostOverview(
      modules: modules, placement: placement,
      services: [.hardware: hardware, .vm: vm, .storage: storage, .alerts: bus], vms: vms, volumes: volumes,
      legs: legs, alerts: alerts)
  }

  private static func status(_ session: Session, _ service: ServiceName) async -> Part<ServiceStatus> {
    await part { () async throws(RPCError) in
      try await session.call(GetServiceStatus.self, Nothing(), on: Socket(service))
    }
  }

  private static func part<T: Sendable>(_ body: () async throws(RPCError) -> T) async -> Part<T> {
    do throws(RPCError) {
      return .success(try await body())
    } catch {
      return .failure(error)
    }
  }

  /// What is missing, by the name of the part.
  var errors: [(part: String, error: RPCError)] {
    func error<T>(_ name: String, _ part: Part<T>) -> [(part: String, error: RPCError)] {
      if case .failure(let error) = part { [(name, error)] } else { [] }
    }
    return error("modules", modules) + error("services", placement)
      + ServiceName.allCases.flatMap { name in services[name].map { error("status of \(name.rawValue)", $0) } ?? [] }
      + error("vms", vms) + error("volumes", volumes) + error("legs", legs) + error("alerts", alerts)
  }

  /// The API's results, each under a name; null for a part that is missing.
  func json() throws(RPCError) -> JSONValue {
    func encode<T: WireValue>(_ part: Part<T>) throws(RPCError) -> JSONValue {
      if case .success(let value) = part { try WireCoder.encode(value) } else { .null }
    }
    var statuses = JSONObject()
    for name in ServiceName.allCases {
      if let part = services[name] { statuses[name.rawValue] = try encode(part) }
    }
    return [
      "modules": try encode(modules), "services": try encode(placement), "status": .object(statuses),
      "vms": try encode(vms), "volumes": try encode(volumes), "legs": try encode(legs), "alerts": try encode(alerts),
      "errors": .array(errors.map { ["part": .string($0.part), "message": .string($0.error.message)] }),
    ]
  }
}
