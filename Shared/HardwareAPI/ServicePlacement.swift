import Primitives
import RPC

/// Where a service runs.
public struct ServicePlacement: WireObject, Equatable {
  /// The service.
  public var service: ServiceName
  /// One for each CPU module.
  public var instances: [ServiceInstance]

  public enum CodingKeys: CodingKey, CaseIterable {
    case service, instances
  }

  public static func field(_ key: CodingKeys) -> Field<ServicePlacement> {
    switch key {
    case .service: Field(\.service, "The service.")
    case .instances: Field(\.instances, "One for each CPU module.")
    }
  }

  public init(service: ServiceName, instances: [ServiceInstance]) {
    self.service = service
    self.instances = instances
  }
}
