import Primitives
import RPC

/// Registers the agent of a CPU module; the module counts as failed when this connection ends.
public enum AttachModuleAgent: RPCSubscription {
  public static let name = "hardware.attachModuleAgent"
  public static let summary =
    "Registers the agent of a CPU module; the module counts as failed when this connection ends."
  public static let access = Access.service
  public static let effect = Effect.idempotent

  /// What `hardware.attachModuleAgent` is told.
  public struct Params: WireObject, Equatable {
    /// The agent's module.
    public var module: ModuleID
    /// Drawn by the agent at its start.
    public var incarnation: GenerationID
    /// The agent's process.
    public var processID: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case module, incarnation, processID
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .module: Field(\.module, "The agent's module.")
      case .incarnation: Field(\.incarnation, "Drawn by the agent at its start.")
      case .processID: Field(\.processID, "The agent's process.")
      }
    }

    public init(module: ModuleID, incarnation: GenerationID, processID: Int) {
      self.module = module
      self.incarnation = incarnation
      self.processID = processID
    }
  }

  public typealias Event = AgentInstruction
}
