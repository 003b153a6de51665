import Primitives
import RPC

/// Answers when the path that serves requests advances.
public enum ServicePing: RPCMethod {
  public static let name = "service.ping"
  public static let summary = "Answers when the path that serves requests advances."
  public static let access = Access.anyone
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `service.ping` answers.
  public struct Result: WireObject, Equatable {
    /// The service.
    public var service: ServiceName
    /// CPU module of the instance that answered.
    public var module: ModuleID
    /// Its epoch; grows with each failover.
    public var epoch: Int64

    public enum CodingKeys: CodingKey, CaseIterable {
      case service, module, epoch
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .service: Field(\.service, "The service.")
      case .module: Field(\.module, "CPU module of the instance that answered.")
      case .epoch: Field(\.epoch, "Its epoch; grows with each failover.")
      }
    }

    public init(service: ServiceName, module: ModuleID, epoch: Int64) {
      self.service = service
      self.module = module
      self.epoch = epoch
    }
  }
}
