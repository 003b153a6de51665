/// A hot-swappable unit of the host, and a failure domain.
public enum ModuleID: String, Sendable, Hashable, Codable, CaseIterable {
  case cpu0, cpu1, io0, io1

  /// What the unit holds: processors and memory, or disks and network.
  public enum Kind: String, Sendable, Hashable, Codable, CaseIterable { case cpu, io }

  /// What this module holds.
  public var kind: Kind { self == .cpu0 || self == .cpu1 ? .cpu : .io }

  /// The other module of the pair: the one that carries on alone when this one is lost.
  public var partner: ModuleID {
    switch self {
    case .cpu0: .cpu1
    case .cpu1: .cpu0
    case .io0: .io1
    case .io1: .io0
    }
  }

  /// The modules of one kind, in their fixed order.
  public static func all(of kind: Kind) -> [ModuleID] { allCases.filter { $0.kind == kind } }
}

/// The copy of the data that lives on one I/O module.
public enum LegID: String, Sendable, Hashable, Codable, CaseIterable {
  case io0, io1

  /// The I/O module that holds this copy.
  public var module: ModuleID { self == .io0 ? .io0 : .io1 }

  /// The other copy.
  public var other: LegID { self == .io0 ? .io1 : .io0 }
}

/// A service of the host: one process on each CPU module, of which one is active.
public enum ServiceName: String, Sendable, Hashable, Codable, CaseIterable {
  case hardware, vm, storage, alerts
}
