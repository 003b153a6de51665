import Primitives

/// `Host` under a name that Foundation does not have, too.
public typealias FTVSHost = Host

/// The services of a host.
public struct Host: Sendable {
  public var hardware: ServiceClient
  public var vm: ServiceClient
  public var storage: ServiceClient
  public var alerts: ServiceClient

  /// Nothing is connected to before the first call.
  ///
  /// - Parameters:
  ///   - runDirectory: Where the sockets are; `DIRECTORY/run` of a lab.
  ///   - deadline: How long a call may take, with all its repeats.
  public init(runDirectory: String = "/run/ftvs", deadline: Duration = .seconds(30)) {
    func client(_ service: ServiceName) -> ServiceClient {
      ServiceClient(socketPath: "\(runDirectory)/\(service.rawValue).sock", deadline: deadline)
    }
    hardware = client(.hardware)
    vm = client(.vm)
    storage = client(.storage)
    alerts = client(.alerts)
  }

  /// The client of a service.
  public subscript(service: ServiceName) -> ServiceClient {
    switch service {
    case .hardware: hardware
    case .vm: vm
    case .storage: storage
    case .alerts: alerts
    }
  }
}
