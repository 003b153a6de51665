import FTVSClient
import Primitives
import RPC

/// The status screen.
struct StatusText {
  let overview: HostOverview
  let times: Times
  let style: Style
  /// Whether the host is a lab: it is looked into with other commands.
  var isLab = false

  /// Rows of a list that grows without end; the rest is counted.
  private static let rowLimit = 12

  func text() -> String {
    [headline, modules, services, vms, volumes, legs, alerts, nextSteps].filter { !$0.isEmpty }
      .joined(separator: "\n\n")
  }

  // MARK: Parts

  private var headline: String {
    let time = style.paint(times.clock(times.now), .faint)
    guard case .success(let list) = overview.modules else { return "Host: state not known    \(time)" }
    let pairs = list.pairs.map { pair in
      let cell = Table.Cell(pair.state)
      return "\(pair.kind.rawValue) \(style.paint(cell.text, cell.colour))"
    }
    return "Host: \(pairs.joined(separator: ", "))    \(time)"
  }

  private var modules: String {
    section("Modules", overview.modules) { list in
      var table = Table(["MODULE", "STATE", "FOR", "FAILURES", "REASON"], right: [3])
      for module in list.modules {
        table.add([
          Table.Cell(module.module.rawValue), Table.Cell(module.state),
          Table.Cell(times.since(module.sinceMilliseconds)), "\(module.failures)", Table.Cell(module.reason ?? ""),
        ])
      }
      return table.text(style, indent: 2)
    }
  }

  private var services: String {
    section("Services", overview.placement) { placement in
      var table = Table(["SERVICE", "CPU0", "CPU1", "EPOCH", "PROBLEM"], right: [3])
      for service in placement.services {
        let cells = ModuleID.all(of: .cpu).map { module in
          service.instances.first { $0.module == module }.map { Table.Cell($0.state) } ?? "-"
        }
        table.add([Table.Cell(service.service.rawValue)] + cells + statusCells(service.service))
      }
      return table.text(style, indent: 2)
    } missing: {
      // Without the supervisor the services themselves still tell who serves.
      var table = Table(["SERVICE", "ACTIVE ON", "EPOCH", "PROBLEM"], right: [2])
      for name in ServiceName.allCases {
        guard case .success(let status)? = overview.services[name] else {
          table.add([Table.Cell(name.rawValue), Table.Cell("no answer", .red)])
          continue
        }
        table.add([Table.Cell(name.rawValue), Table.Cell(status.module.rawValue, .green)] + statusCells(name))
      }
      return table.text(style, indent: 2)
    }
  }

  private func statusCells(_ service: ServiceName) -> [Table.Cell] {
    switch overview.services[service] {
    case .success(let status)?:
      let role = status.role == .recovery ? "in recovery: " : ""
      let legs = status.legs.filter { $0.state != .inStep }.map {
        "state on \($0.leg.rawValue) \(Words.spaced($0.state.rawValue))"
      }
      let problem = role + (status.problem ?? legs.joined(separator: ", "))
      return ["\(status.epoch)", Table.Cell(problem, status.problem == nil ? .yellow : .red)]
    case .failure?: return ["-", Table.Cell("no answer", .red)]
    case nil: return []
    }
  }

  private var vms: String {
    section("Virtual machines", overview.vms) { list in
      guard !list.vms.isEmpty else { return "  none: ftctl vm define FILE" }
      let table = ListText.vms(Array(list.vms.prefix(Self.rowLimit)), style, indent: 2)
      return table + more(list.vms.count, "ftctl vm list")
    }
  }

  private var volumes: String {
    section("Volumes", overview.volumes) { list in
      guard !list.volumes.isEmpty else { return "  none: ftctl library import NAME FILE, then ftctl volume create" }
      let table = ListText.volumes(Array(list.volumes.prefix(Self.rowLimit)), style, indent: 2)
      return table + more(list.volumes.count, "ftctl volume list")
    }
  }

  private var legs: String {
    section("Legs", overview.legs) { ListText.legs($0.legs, times, style, indent: 2) }
  }

  private var alerts: String {
    section("Open alerts", overview.alerts) { list in
      guard !list.alerts.isEmpty else { return "  none" }
      let urgent = list.alerts.sorted { ($0.severity.rank, $0.sequence) > ($1.severity.rank, $1.sequence) }
      let shown = urgent.prefix(5).sorted { $0.sequence < $1.sequence }
      let table = ListText.alerts(shown, times, style, indent: 2)
      let rest = list.alerts.count - shown.count
      return table + (rest > 0 ? "\n  and \(rest) more: ftctl alert list --open" : "")
    }
  }

  private func more(_ count: Int, _ command: String) -> String {
    count > Self.rowLimit ? "\n  and \(count - Self.rowLimit) more: \(command)" : ""
  }

  /// What to do, most urgent first.
  private var nextSteps: String {
    var steps: [String] = []
    if case .success(let list) = overview.modules { steps += Self.steps(list.modules) }
    for name in ServiceName.allCases {
      if case .success(let status)? = overview.services[name], status.role == .recovery {
        steps.append("ftctl service status \(name.rawValue): it needs a decision of an administrator")
      }
    }
    if case .success(let list) = overview.vms {
      for vm in list.vms where vm.state == .crashed {
        steps.append("ftctl vm start \(vm.name): it ended by itself\(vm.reason.map { ": \($0)" } ?? "")")
      }
      for vm in list.vms where vm.state == .quarantined {
        steps.append("ftctl vm release \(vm.name): when 'ftctl vm show \(vm.name)' and its console told why it fails")
      }
    }
    if case .success(let list) = overview.alerts, let last = list.alerts.last {
      steps.append("ftctl alert ack --through \(last.sequence): when you have seen the open alerts")
    }
    for name in ServiceName.allCases {
      guard case .failure? = overview.services[name] else { continue }
      let look = isLab ? "ftctl lab status" : "systemctl status 'ftvs-\(name.rawValue)@*'"
      steps.append("\(look): \(name.rawValue) does not answer")
    }
    guard !steps.isEmpty else { return style.paint("Nothing to do.", .green) }
    return (["\(style.paint("Next:", .bold))"] + steps.map { "  \($0)" }).joined(separator: "\n")
  }

  /// What modules ask for; those that ask for the same thing share a line.
  private static func steps(_ modules: [ModuleStatus]) -> [String] {
    var steps: [(text: String, modules: [String])] = []
    for module in modules {
      guard module.state != .online, let text = module.nextStep else { continue }
      if let index = steps.firstIndex(where: { $0.text == text }) {
        steps[index].modules.append(module.module.rawValue)
      } else {
        steps.append((text, [module.module.rawValue]))
      }
    }
    return steps.map { "\($0.modules.joined(separator: ", ")): \($0.text)" }
  }

  private func section<T>(
    _ title: String, _ part: HostOverview.Part<T>, _ text: (T) -> String, missing: (() -> String)? = nil
  ) -> String {
    let head = style.paint(title, .bold)
    switch part {
    case .success(let value): return "\(head)\n\(text(value))"
    case .failure(let error):
      if let missing { return "\(head)\n\(missing())" }
      let sentence = error.message.split(separator: "\n").first.map(String.init) ?? error.kind
      return "\(head)\n  \(style.paint("not known", .red)): \(sentence)"
    }
  }
}

extension Severity {
  /// Greater is worse.
  var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
