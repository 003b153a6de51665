import Primitives

/// A unit of the lab, named as systemd has it.
enum UnitName: Sendable, Hashable, CustomStringConvertible {
  /// One of a service's two instances: `ftvs-storage@cpu0.service`.
  case service(ServiceName, ModuleID)
  /// The agent of a CPU module: `ftvs-module@cpu0.service`.
  case agent(ModuleID)
  /// A virtual machine's process: `ftvs-guest-cpu0@5.service`.
  case guest(ModuleID, slot: Int)

  /// Highest guest slot.
  static let lastSlot = 63

  /// The unit of this name, or nil when a lab has no such unit.
  init?(_ name: String) {
    guard name.hasPrefix("ftvs-"), name.hasSuffix(".service") else { return nil }
    let parts = name.dropFirst(5).dropLast(8).split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    if parts[0].hasPrefix("guest-") {
      guard let module = ModuleID(rawValue: String(parts[0].dropFirst(6))), module.kind == .cpu,
        let slot = Int(parts[1]), (0...Self.lastSlot).contains(slot), String(slot) == parts[1]
      else { return nil }
      self = .guest(module, slot: slot)
      return
    }
    guard let module = ModuleID(rawValue: String(parts[1])), module.kind == .cpu else { return nil }
    if parts[0] == "module" {
      self = .agent(module)
    } else if let service = ServiceName(rawValue: String(parts[0])) {
      self = .service(service, module)
    } else {
      return nil
    }
  }

  /// The units that a host always has, in the order in which they are started.
  static let standing: [UnitName] =
    [ServiceName.alerts, .hardware, .storage, .vm].flatMap { service in
      ModuleID.all(of: .cpu).map { UnitName.service(service, $0) }
    } + ModuleID.all(of: .cpu).map { UnitName.agent($0) }

  var description: String {
    switch self {
    case .service(let service, let module): "ftvs-\(service.rawValue)@\(module.rawValue).service"
    case .agent(let module): "ftvs-module@\(module.rawValue).service"
    case .guest(let module, let slot): "ftvs-guest-\(module.rawValue)@\(slot).service"
    }
  }

  /// The CPU module on which it runs.
  var module: ModuleID {
    switch self {
    case .service(_, let module), .agent(let module), .guest(let module, _): module
    }
  }

  /// The program that it runs.
  var program: String {
    switch self {
    case .service(let service, _): "ftvs-\(service.rawValue)"
    case .agent: "ftvs-module"
    case .guest: "ftvs-guest"
    }
  }

  /// Whether it tells when it is ready, is watched while it runs, and is restarted when it ends.
  var isDaemon: Bool {
    if case .guest = self { false } else { true }
  }

  /// Names of the sockets that it is handed, which are their units' descriptor names.
  var sockets: [String] {
    switch self {
    case .service(.storage, _): ["storage", "nbd"]
    case .service(let service, _): [service.rawValue]
    case .agent, .guest: []
    }
  }
}

/// A slice: all units of one CPU module, or of the host.
enum SliceName: Sendable, Hashable {
  case host
  case module(ModuleID)

  init?(_ name: String) {
    if name == "ftvs.slice" {
      self = .host
    } else if name.hasPrefix("ftvs-"), name.hasSuffix(".slice"),
      let module = ModuleID(rawValue: String(name.dropFirst(5).dropLast(6))), module.kind == .cpu
    {
      self = .module(module)
    } else {
      return nil
    }
  }

  func contains(_ unit: UnitName) -> Bool {
    switch self {
    case .host: true
    case .module(let module): unit.module == module
    }
  }
}
