/// Why a unit could not be started, stopped or looked at.
public enum UnitError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The manager has no such unit, or the name is not one that may be asked for.
  case noSuchUnit(unit: String)
  /// A condition keeps the unit from starting: its module is shot.
  case conditionFailed(unit: String)
  /// The unit ended, or timed out, instead of becoming ready; `result` is systemd's word for it.
  case startFailed(unit: String, result: String)
  /// The manager refused.
  case refused(unit: String, reason: String)
  /// The manager cannot be reached now; a repeat may succeed.
  case unavailable(reason: String)

  public var description: String {
    switch self {
    case .noSuchUnit(let unit):
      "There is no unit \(unit); check with 'systemctl cat \(unit)' that FTVS's units are installed."
    case .conditionFailed(let unit):
      "\(unit) was not started because a condition of it does not hold: its module is shot or removed. Bring the "
        + "module online first."
    case .startFailed(let unit, let result):
      "\(unit) ended instead of becoming ready (\(result)); its log says why: journalctl -u \(unit)."
    case .refused(let unit, let reason): "The unit manager refused to act on \(unit): \(reason)."
    case .unavailable(let reason): "The unit manager does not answer: \(reason). Try again."
    }
  }
}
