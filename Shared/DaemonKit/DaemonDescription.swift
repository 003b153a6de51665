import ControlState
import FTVSClient
import HostConfiguration
import Logging
import Primitives
import RPC
import ServiceAPI

/// What a daemon is, before it serves.
public struct DaemonDescription: Sendable {
  /// The service; its socket has the same name.
  public var service: ServiceName
  /// SQL scripts of its state; see `ControlState.Configuration`.
  public var migrations: [String]
  /// Names of further sockets that it serves, such as `nbd`.
  public var otherListeners: [String]
  /// Copies what it keeps beside its database to a leg that comes back; see `ControlState.Configuration`.
  public var resyncData:
    (@Sendable (_ to: LegID, _ progress: @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void)?

  public init(
    service: ServiceName, migrations: [String], otherListeners: [String] = [],
    resyncData: (
      @Sendable (_ to: LegID, _ progress: @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void
    )? = nil
  ) {
    self.service = service
    self.migrations = migrations
    self.otherListeners = otherListeners
    self.resyncData = resyncData
  }
}

/// What an instance finds when it becomes active.
public struct Activation: Sendable {
  /// CPU module on which it runs.
  public let module: ModuleID
  public let configuration: HostConfiguration
  public let paths: HostPaths
  /// Its state, open; the epoch is raised.
  public let state: ControlState
  public let alerts: AlertPublisher
  /// Clients of the other services.
  public let host: Host
  /// Sockets beside the service's own, by name.
  public let listeners: [String: Int32]
  public let logger: Logger
  /// Grows with each failover.
  public let epoch: Int64
}

/// What an active instance does.
public struct ActiveService: Sendable {
  /// Its methods; those that every service has are added.
  public var router: Router
  /// What runs while it is active. The unexpected end of one ends the process: half dead is dead.
  public var tasks: [@Sendable () async throws -> Void]
  /// Its measurements, beside those that every service has.
  public var metrics: @Sendable () async -> [Metric]
  /// Ends in good order what is not a request; called after the last request was answered, bounded to a second.
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
