import Primitives
import RPC

/// One virtual machine.
public struct VMDetail: WireObject, Equatable {
  /// Its name.
  public var name: VMName
  /// Its UUID.
  public var identifier: String
  /// What it is doing.
  public var state: VMState
  /// CPU module on which it runs.
  public var module: ModuleID?
  /// Whether it is started with the host.
  public var autostart: Bool
  /// Its process.
  public var processID: Int?
  /// Times that it was restarted after a failure.
  public var failovers: Int
  /// Why it is in this state, where that needs a sentence.
  public var reason: String?
  /// Memory.
  public var memoryBytes: Int64
  /// Virtual processors.
  public var cpus: Int
  /// Its disks.
  public var disks: [VMDisk]
  /// What runs it, with the accelerator: qemu/kvm or qemu/tcg.
  public var engine: String
  /// Its domain XML.
  public var definition: String
  /// Version of the definition.
  public var version: Int?
  /// The last restart after a failure.
  public var lastRecovery: Recovery?
  /// Its memory on disk, where it was saved.
  public var saved: SavedState?

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, identifier, state, module, autostart, processID, failovers, reason, memoryBytes, cpus, disks, engine,
      definition, version, lastRecovery, saved
  }

  public static func field(_ key: CodingKeys) -> Field<VMDetail> {
    switch key {
    case .name: Field(\.name, "Its name.")
    case .identifier: Field(\.identifier, "Its UUID.")
    case .state: Field(\.state, "What it is doing.")
    case .module: Field(\.module, "CPU module on which it runs.")
    case .autostart: Field(\.autostart, "Whether it is started with the host.")
    case .processID: Field(\.processID, "Its process.")
    case .failovers: Field(\.failovers, "Times that it was restarted after a failure.")
    case .reason: Field(\.reason, "Why it is in this state, where that needs a sentence.")
    case .memoryBytes: Field(\.memoryBytes, "Memory.")
    case .cpus: Field(\.cpus, "Virtual processors.")
    case .disks: Field(\.disks, "Its disks.")
    case .engine: Field(\.engine, "What runs it, with the accelerator: qemu/kvm or qemu/tcg.")
    case .definition: Field(\.definition, "Its domain XML.")
    case .version: Field(\.version, "Version of the definition.")
    case .lastRecovery: Field(\.lastRecovery, "The last restart after a failure.")
    case .saved: Field(\.saved, "Its memory on disk, where it was saved.")
    }
  }

  public init(
    name: VMName,
    identifier: String,
    state: VMState,
    module: ModuleID? = nil,
    autostart: Bool,
    processID: Int? = nil,
    failovers: Int,
    reason: String? = nil,
    memoryBytes: Int64,
    cpus: Int,
    disks: [VMDisk],
    engine: String,
    definition: String,
    version: Int? = nil,
    lastRecovery: Recovery? = nil,
    saved: SavedState? = nil
  ) {
    self.name = name
    self.identifier = identifier
    self.state = state
    self.module = module
    self.autostart = autostart
    self.processID = processID
    self.failovers = failovers
    self.reason = reason
    self.memoryBytes = memoryBytes
    self.cpus = cpus
    self.disks = disks
    self.engine = engine
    self.definition = definition
    self.version = version
    self.lastRecovery = lastRecovery
    self.saved = saved
  }
}
