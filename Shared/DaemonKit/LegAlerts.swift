import ControlState
import Primitives
import RPC
import ServiceAPI

/// Tells of a service's legs that are lost, and of those that are back.
struct LegAlerts: Sendable {
  let service: ServiceName
  let alerts: AlertPublisher

  /// Publishes each change until the state is closed.
  func follow(_ control: ControlState) async {
    var known: [LegID: LegState] = [:]
    for await legs in control.legChanges() {
      for leg in legs {
        let before = known.updateValue(leg.state, forKey: leg.leg)
        if before != leg.state { publish(leg, before: before) }
      }
    }
  }

  private func publish(_ leg: LegStatus, before: LegState?) {
    let data: [String: JSONValue] = [
      "service": .string(service.rawValue), "state": .string(leg.state.rawValue),
      "sinceMilliseconds": .integer(leg.sinceMilliseconds),
    ]
    let name = leg.leg.rawValue
    switch leg.state {
    case .inStep where before != nil:
      alerts.publish(
        .info, kind: "legInStep", subject: name,
        message: "Leg \(name) holds all that \(service.rawValue) acknowledged again.", data: data)
    case .lost, .stale:
      // Resyncing that stops short is told, too: nothing else would say why simplex goes on.
      alerts.publish(
        .error, kind: "legLost", subject: name,
        message: "\(service.rawValue) keeps its state on one leg only: \(leg.reason ?? "leg \(name) is not in step"). "
          + "Repair \(name) and bring it online; it is brought up to date by itself.", data: data)
    case .inStep, .resyncing: break
    }
  }
}
