/// Starts, stops and watches the units of this host: systemd's, or those of the lab that stands in for it.
///
/// Both implementations pass one conformance suite, so that a service behaves alike under either.
public protocol UnitManager: Sendable {
  /// Starts a unit such as `ftvs-storage@cpu0.service`; returns when its start job has ended well.
  ///
  /// Starting an active unit changes nothing. A unit whose condition does not hold throws `conditionFailed`, one that
  /// ended instead of becoming ready `startFailed`.
  func start(_ unit: String) async throws(UnitError) -> UnitStatus

  /// Stops a unit; returns when no process of it is left.
  func stop(_ unit: String) async throws(UnitError)

  /// Sends a signal to every process of a unit, or of a slice with all that is in it. None there is no error.
  func kill(_ unit: String, signal: Int32) async throws(UnitError)

  /// The unit's state now; a unit that was never loaded is inactive.
  func status(_ unit: String) async throws(UnitError) -> UnitStatus

  /// Whether no process of a unit, or of a slice with all that is in it, is left.
  func isEmpty(_ unitOrSlice: String) async throws(UnitError) -> Bool
}
