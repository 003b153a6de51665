import HardwareAPI
import Primitives
import RPC

extension ModuleID.Kind {
  /// For sentences: "CPU module".
  var noun: String { self == .cpu ? "CPU" : "I/O" }
}

extension ModuleState {
  /// For sentences: "cpu0 is …".
  var words: String {
    switch self {
    case .empty: "not there: its slot is empty"
    case .removed: "removed from its slot"
    case .offline: "offline"
    case .initializing: "starting"
    case .diagnostics, .diagnosticsPassed: "under test before service"
    case .firmwareUpdate: "having its firmware written"
    case .syncing: "catching up with its partner"
    case .online: "online"
    case .broken: "broken"
    case .shot: "isolated"
    case .dumping: "having its memory saved"
    case .unknown: "in an unknown state"
    }
  }
}

/// A reason before a further sentence: an operator may have given one without a full stop.
func withFullStop(_ reason: String) -> String {
  guard let last = reason.last, !".!?".contains(last) else { return reason }
  return reason + "."
}

/// What an operator can do now about a module, or nil when there is nothing to do.
func nextStep(_ record: ModuleRecord) -> String? {
  let module = record.module.rawValue
  switch record.state {
  case .offline: return "Bring it into service with 'ftctl module online \(module)'."
  case .removed, .empty: return "Put it back with 'ftctl module insert \(module)'."
  case .broken, .shot:
    return record.stays || record.state == .broken && record.task == .none && record.module.kind == .cpu
      ? "Bring it back with 'ftctl module online \(module)'." : "It returns by itself; 'ftctl status' shows it."
  case .initializing, .diagnostics, .diagnosticsPassed, .syncing:
    return "It comes into service by itself; 'ftctl status' shows it."
  case .online, .firmwareUpdate, .dumping, .unknown: return nil
  }
}

/// What an operator can do now, given the partner: with both in service there is nothing to do.
func nextStep(_ record: ModuleRecord, partner: ModuleRecord?) -> String? {
  guard record.state == .online else { return nextStep(record) }
  guard let partner, partner.state != .online else { return nil }
  let hint = nextStep(partner).map { " \($0)" } ?? ""
  return "Leave it: its partner \(partner.module.rawValue) is \(partner.state.words).\(hint)"
}

/// The refusal of a command by the module's state.
func refusal(_ command: ModuleCommand, _ record: ModuleRecord) -> RPCError {
  let module = record.module.rawValue
  let advice =
    switch (command, record.state) {
    case (.remove, .online), (.remove, .initializing), (.remove, .diagnostics), (.remove, .diagnosticsPassed),
      (.remove, .syncing):
      "Take it offline first with 'ftctl module offline \(module)'."
    case (.insert, _): "It is in its slot already; there is nothing to insert."
    default: nextStep(record) ?? "Wait, and look at it with 'ftctl status'."
    }
  return RPCError(
    HardwareFailure.wrongState, "\(module) is \(record.state.words). \(advice)",
    data: [
      "module": .string(module), "state": .string(record.state.rawValue), "command": .string(command.rawValue),
      "allowed": .array(ModuleTransitions.allowed(record.state).map { .string($0.rawValue) }),
    ])
}

/// The refusal of taking the last module of a pair out of service.
func lastInService(_ command: ModuleCommand, _ record: ModuleRecord, partner: ModuleRecord?) -> RPCError {
  let module = record.module
  let partnerState = partner?.state ?? .unknown
  let hint = partner.flatMap { nextStep($0) } ?? "Wait until it is in service."
  return RPCError(
    HardwareFailure.lastInService,
    "\(module.rawValue) is the only \(module.kind.noun) module that can be relied on: \(module.partner.rawValue) is "
      + (partnerState == .online ? "not answering" : partnerState.words) + ". \(hint)",
    data: [
      "module": .string(module.rawValue), "partner": .string(module.partner.rawValue),
      "partnerState": .string(partnerState.rawValue), "command": .string(command.rawValue),
    ])
}
