import Primitives

/// Why a service's state was not opened. Each case carries an explanation for people that says what to do.
public enum ControlStateError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The leg that is there may be older than what was acknowledged; it starts alone by force only.
  case staleLeg(LegID, explanation: String)
  /// The legs went on separately from a common ancestor; one of them has to be given up by force.
  case split(explanation: String)
  /// A leg holds another host's or another service's state.
  case foreignLeg(explanation: String)
  /// No leg is reachable and readable.
  case noLeg(explanation: String)
  /// The legs are empty though they held data before.
  case noData(explanation: String)
  /// A newer version of the software wrote the state.
  case newerSchema(explanation: String)
  /// Reading or writing failed while opening.
  case unavailable(explanation: String)

  /// What happened and what to do, in a few sentences.
  public var explanation: String {
    switch self {
    case .staleLeg(_, let explanation), .split(let explanation), .foreignLeg(let explanation),
      .noLeg(let explanation), .noData(let explanation), .newerSchema(let explanation),
      .unavailable(let explanation):
      explanation
    }
  }

  /// Whether `service.forceLeg` can help.
  public var isForceable: Bool {
    switch self {
    case .staleLeg, .split, .noData: true
    case .foreignLeg, .noLeg, .newerSchema, .unavailable: false
    }
  }

  public var description: String { explanation }
}
