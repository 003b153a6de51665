import AlertAPI
import HardwareAPI
import Primitives
import RPC

/// A decision in the making.
struct Draft {
  var records: [ModuleID: ModuleRecord]
  /// Unix time of the decision.
  let milliseconds: Int64
  var alerts: [PendingAlert] = []

  init(records: [ModuleID: ModuleRecord], milliseconds: Int64) {
    self.records = records
    self.milliseconds = milliseconds
  }

  /// Follows the table of transitions and sets what is to be done then.
  ///
  /// - Returns: false, with nothing changed, when the trigger does not happen in the module's state.
  @discardableResult
  mutating func follow(
    _ module: ModuleID, _ trigger: ModuleTrigger, reason: String? = nil, task: ModuleTask? = nil
  ) -> Bool {
    guard records[module]?.follow(trigger, reason: reason, at: milliseconds) == true else { return false }
    if let task { records[module]?.task = task }
    return true
  }

  mutating func alert(
    _ severity: Severity, _ kind: String, _ module: ModuleID, _ message: String, _ data: [String: JSONValue] = [:]
  ) {
    var data = data
    data["module"] = .string(module.rawValue)
    alerts.append(
      PendingAlert(severity: severity, kind: kind, subject: module.rawValue, message: message, data: data))
  }

  /// Time that the module has been out of service, where it is.
  func outage(_ module: ModuleID) -> Int64? {
    records[module]?.outSinceMilliseconds.map { max(0, milliseconds - $0) }
  }

  /// Time that the module has been in its state.
  func age(_ module: ModuleID) -> Int64 { records[module].map { max(0, milliseconds - $0.sinceMilliseconds) } ?? 0 }

  /// The host started: what was in service, or on its way there, starts; what was not stays out.
  mutating func begin(_ module: ModuleID) {
    guard var record = records[module] else {
      records[module] = ModuleRecord(
        module: module, state: .initializing, sinceMilliseconds: milliseconds, task: .start)
      records[module]?.reason = "The host was set up."
      return
    }
    record.incarnation = nil
    record.isForced = false
    let returns = !record.stays && (record.state == .broken || record.state == .shot)
    records[module] = record
    if ModuleTransitions.isUp(record.state) || returns || record.state == .unknown {
      follow(module, .returning, reason: "The host started.", task: .start)
    }
  }

  /// What is out of service must be kept from running, on this start of the host, too.
  mutating func reconcile(_ module: ModuleID, isMarked: Bool) {
    guard let record = records[module], record.task == .none, !isMarked else { return }
    switch record.state {
    case .offline, .removed, .shot: break
    case .broken: if !record.stays { return }
    default: return
    }
    records[module]?.task = .isolate
    records[module]?.stays = true
  }
}

/// An alert that is published once what it tells of is stored.
struct PendingAlert {
  var severity: Severity
  var kind: String
  var subject: String
  var message: String
  var data: [String: JSONValue]

  func publish(_ sink: any AlertSink) {
    sink.publish(severity, kind: kind, subject: subject, message: message, data: data)
  }

  /// What changed for the pairs.
  static func ofPairs(
    before: [ModuleID: ModuleRecord], after: [ModuleID: ModuleRecord]
  ) -> [PendingAlert] {
    ModuleID.Kind.allCases.compactMap { kind in
      let modules = ModuleID.all(of: kind)
      let noun = kind.noun
      guard modules.contains(where: { before[$0] != nil }) else { return nil }
      switch (pairState(kind, before), pairState(kind, after)) {
      case (.duplex, .simplex):
        let lost = modules.first { after[$0]?.state != .online }
        let hint = lost.flatMap { after[$0] }.flatMap(nextStep)
        return PendingAlert(
          severity: .warning, kind: "pairSimplex", subject: kind.rawValue,
          message: ["Only one \(noun) module is in service: the next fault stops the host.", hint]
            .compactMap { $0 }.joined(separator: " "),
          data: ["lost": .string(lost?.rawValue ?? "")])
      case (.simplex, .duplex), (.down, .duplex):
        return PendingAlert(
          severity: .info, kind: "pairDuplex", subject: kind.rawValue,
          message: "Both \(noun) modules are in service: either may fail.", data: [:])
      case (.duplex, .down), (.simplex, .down):
        return PendingAlert(
          severity: .critical, kind: "pairDown", subject: kind.rawValue,
          message: "No \(noun) module is in service.", data: [:])
      default: return nil
      }
    }
  }
}
