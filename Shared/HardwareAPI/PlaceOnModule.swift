import Primitives
import RPC

/// Chooses the CPU module in service on which something new should run.
public enum PlaceOnModule: RPCMethod {
  public static let name = "hardware.place"
  public static let summary = "Chooses the CPU module in service on which something new should run."
  public static let access = Access.service
  public static let effect = Effect.read
  public static let failures: [HardwareFailure] = [.noModuleInService]

  /// What `hardware.place` is told.
  public struct Params: WireObject, Equatable {
    /// Module to take when it is in service.
    public var prefer: ModuleID?
    /// Modules not to take.
    public var exclude: [ModuleID]?

    public enum CodingKeys: CodingKey, CaseIterable {
      case prefer, exclude
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .prefer: Field(\.prefer, "Module to take when it is in service.")
      case .exclude: Field(\.exclude, "Modules not to take.")
      }
    }

    public init(prefer: ModuleID? = nil, exclude: [ModuleID]? = nil) {
      self.prefer = prefer
      self.exclude = exclude
    }
  }

  /// What `hardware.place` answers.
  public struct Result: WireObject, Equatable {
    /// The module to use.
    public var module: ModuleID

    public enum CodingKeys: CodingKey, CaseIterable {
      case module
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .module: Field(\.module, "The module to use.")
      }
    }

    public init(module: ModuleID) {
      self.module = module
    }
  }
}
