import Primitives

/// What the kit has to know of a service before it is active.
public struct DaemonDescription: Sendable {
  /// Copies what the service keeps beside its database to a leg that comes back; see `ControlState.Configuration`.
  public typealias ResyncData =
    @Sendable (_ to: LegID, _ progress: @escaping @Sendable (Int64, Int64) -> Void) async throws -> Void

  /// Makes the service on scratch directories, without any effect beside them; see `Rehearsal`.
  public typealias Rehearse = @Sendable (Activation) async throws -> RehearsedService

  public var service: ServiceName
  /// SQL scripts that bring the schema of the service's state up, applied in order and once each. Only append to them.
  public var migrations: [String]
  public var resyncData: ResyncData?
  /// Listening sockets beside the service's own, by name.
  public var otherListeners: [String]
  /// Lets a standby go through a takeover before there is one.
  public var rehearse: Rehearse?

  public init(
    service: ServiceName, migrations: [String], otherListeners: [String] = [], resyncData: ResyncData? = nil,
    rehearse: Rehearse? = nil
  ) {
    self.rehearse = rehearse
    self.service = service
    self.migrations = migrations
    self.otherListeners = otherListeners
    self.resyncData = resyncData
  }
}
