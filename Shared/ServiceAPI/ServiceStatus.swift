import Primitives
import RPC

/// The instance that answered, and its state.
public struct ServiceStatus: WireObject, Equatable {
  /// The service.
  public var service: ServiceName
  /// CPU module on which the instance that answered runs.
  public var module: ModuleID
  /// What that instance is doing.
  public var role: ServiceRole
  /// Number of times that the lease was taken since the host was set up; grows with each failover.
  public var epoch: Int64
  /// When this instance became active, in milliseconds since 1970.
  public var activeSinceMilliseconds: Int64
  /// Its process.
  public var processID: Int
  /// Version of the software.
  public var version: String
  /// The legs that hold its state.
  public var legs: [LegStatus]
  /// What is wrong and what to do about it, where something is.
  public var problem: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case service, module, role, epoch, activeSinceMilliseconds, processID, version, legs, problem
  }

  public static func field(_ key: CodingKeys) -> Field<ServiceStatus> {
    switch key {
    case .service: Field(\.service, "The service.")
    case .module: Field(\.module, "CPU module on which the instance that answered runs.")
    case .role: Field(\.role, "What that instance is doing.")
    case .epoch:
      Field(
        \.epoch,
        "Number of times that the lease was taken since the host was set up; grows with each failover.")
    case .activeSinceMilliseconds:
      Field(
        \.activeSinceMilliseconds,
        "When this instance became active, in milliseconds since 1970.")
    case .processID: Field(\.processID, "Its process.")
    case .version: Field(\.version, "Version of the software.")
    case .legs: Field(\.legs, "The legs that hold its state.")
    case .problem: Field(\.problem, "What is wrong and what to do about it, where something is.")
    }
  }

  public init(
    service: ServiceName,
    module: ModuleID,
    role: ServiceRole,
    epoch: Int64,
    activeSinceMilliseconds: Int64,
    processID: Int,
    version: String,
    legs: [LegStatus],
    problem: String? = nil
  ) {
    self.service = service
    self.module = module
    self.role = role
    self.epoch = epoch
    self.activeSinceMilliseconds = activeSinceMilliseconds
    self.processID = processID
    self.version = version
    self.legs = legs
    self.problem = problem
  }
}
