import Foundation
import Primitives

/// Sentences about legs for people: what is the matter, and what to do.
struct Explainer {
  let service: ServiceName
  let findings: [LegID: LegFinding]
  let witness: Witness?

  func stale(_ leg: LegID) -> ControlStateError {
    let other = leg.other
    var text = "Leg \(leg) alone may miss what was acknowledged. \(facts) "
    text += "Bring leg \(other) back and the service starts by itself; or give up what only leg \(other) holds: "
    return .staleLeg(leg, explanation: text + force(leg))
  }

  func split() -> ControlStateError {
    var text = "The legs went on separately from a common past; both hold acknowledged changes that the other misses. "
    text += "\(facts) Decide which one to keep; the other's database is kept aside as a file. "
    text += LegID.allCases.map(force).joined(separator: " or ")
    return .split(explanation: text)
  }

  func foreign() -> ControlStateError {
    .foreignLeg(
      explanation: "A leg holds the state of another host or service. \(facts) Mount the legs of this host; to use a "
        + "foreign disk here, empty its directory first.")
  }

  func noLeg() -> ControlStateError {
    .noLeg(
      explanation: "No leg holds a whole state that can be read. \(facts) Make the legs reachable (mount them, bring "
        + "their modules online, free space); a new host needs both, empty.")
  }

  func noData() -> ControlStateError {
    .noData(
      explanation: "Both legs are empty, but this host held state before. \(facts) Mount the right disks; or begin "
        + "anew with nothing: " + force(.io0))
  }

  func cannotForce(_ leg: LegID) -> ControlStateError {
    .noLeg(
      explanation: "Leg \(leg) cannot be started from. \(facts) Only a leg with a whole database of this host can.")
  }

  func force(_ leg: LegID) -> String {
    "ftctl call \(service.rawValue) service.forceLeg '{\"leg\":\"\(leg.rawValue)\"}'"
  }

  /// What is known of both legs and the witness.
  var facts: String {
    var parts = LegID.allCases.map { "\($0.rawValue): \(Self.describe(findings[$0] ?? .absent("not configured")))" }
    if let witness {
      parts.append(
        "last known in service: generation \(witness.generation.rawValue.prefix(8)) on "
          + "\(LegHeader.encode(members: witness.members)) since \(Self.time(witness.timeMilliseconds))")
    } else {
      parts.append("no record of what was last in service")
    }
    return parts.joined(separator: "; ") + "."
  }

  static func describe(_ finding: LegFinding) -> String {
    switch finding {
    case .absent(let reason): "not reachable (\(reason))"
    case .blank: "empty"
    case .damaged(let reason): "damaged (\(reason))"
    case .incomplete(let header): "an unfinished copy of generation \(header.generation.rawValue.prefix(8))"
    case .complete(let header):
      "generation \(header.generation.rawValue.prefix(8)) of \(time(header.generationMilliseconds)), transaction "
        + "\(header.sequence), with \(LegHeader.encode(members: header.members)) in step, host \(header.host.prefix(8)), "
        + "service \(header.service.prefix(16))"
    }
  }

  static func time(_ milliseconds: Int64) -> String {
    Date(timeIntervalSince1970: Double(milliseconds) / 1000).ISO8601Format()
  }
}
