import ControlState
import FTVSClient
import HostConfiguration
import Logging
import Primitives
import RPC
import ServiceAPI

/// What an instance has once it holds the lease: the service is made of it.
public struct Activation: Sendable {
  /// CPU module on which this instance runs.
  public var module: ModuleID
  public var configuration: HostConfiguration
  public var paths: HostPaths
  /// The service's state, opened.
  public var state: ControlState
  public var alerts: AlertPublisher
  /// Clients of all services; nothing is connected to before the first call.
  public var host: Host
  /// The listening sockets beside the service's own, by name.
  public var listeners: [String: Int32]
  public var logger: Logger
  /// Raised durably: nobody else has it, nor a higher one.
  public var epoch: Int64
}

/// An active service: what the kit serves, runs and ends.
public struct ActiveService: Sendable {
  /// The service's methods; the kit adds `service.*`.
  public var router: Router
  /// Long-lived work. One that ends, other than by cancellation, ends the daemon.
  public var tasks: [@Sendable () async throws -> Void]
  /// Measured values beside the kit's own.
  public var metrics: @Sendable () async -> [Metric]
  /// Ends what goes beyond requests, such as NBD sessions, at a planned hand-over. Bounded by `DaemonLimits.drainTime`.
  public var drain: @Sendable () async -> Void

  public init(
    router: Router, tasks: [@Sendable () async throws -> Void] = [],
    metrics: @escaping @Sendable () async -> [Metric] = { [] }, drain: @escaping @Sendable () async -> Void = {}
  ) {
    self.router = router
    self.tasks = tasks
    self.metrics = metrics
    self.drain = drain
  }
}
