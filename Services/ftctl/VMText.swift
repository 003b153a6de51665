import FTVSClient
import RPC

/// Virtual machines as text.
enum VMText {
  /// "web is running on cpu0"
  static func line(_ vm: VMSummary) -> String {
    let state = vm.state == .defined ? "not running" : Words.spaced(vm.state.rawValue)
    return "\(vm.name) is \(state)" + (vm.module.map { " on \($0.rawValue)" } ?? "")
      + (vm.reason.map { ": \($0)" } ?? "")
  }

  static func detail(_ vm: VMDetail, _ times: Times, _ style: Style) -> String {
    var table = Table(["", ""])
    table.add(["Name", Table.Cell(vm.name.rawValue)])
    table.add(["Identifier", Table.Cell(vm.identifier)])
    table.add(["State", Table.Cell(vm.state)])
    if let reason = vm.reason { table.add(["Reason", Table.Cell(reason)]) }
    table.add(["Module", Table.Cell(Words.orDash(vm.module?.rawValue))])
    if let processID = vm.processID { table.add(["Process", "\(processID)"]) }
    table.add(["Processors", "\(vm.cpus)"])
    table.add(["Memory", Table.Cell(Sizes.text(vm.memoryBytes))])
    for disk in vm.disks { table.add([Table.Cell("\(title(disk)) \(disk.target)"), Table.Cell(medium(disk))]) }
    table.add(["Engine", Table.Cell(vm.engine)])
    table.add(["Autostart", vm.autostart ? "yes" : "no"])
    table.add(["Failovers", "\(vm.failovers)"])
    if let saved = vm.saved {
      table.add([
        "Saved", Table.Cell("\(times.clock(saved.savedMilliseconds)), \(Sizes.text(saved.sizeBytes)) on disk"),
      ])
    }
    if let recovery = vm.lastRecovery {
      table.add(["Last failover", Table.Cell(times.clock(recovery.failedMilliseconds))])
      table.add(["", Table.Cell("\(recovery.fromModule.rawValue) to \(recovery.toModule.rawValue): \(recovery.cause)")])
      table.add(["", Table.Cell(phases(recovery))])
    }
    return table.text(style)
  }

  private static func title(_ disk: VMDisk) -> String {
    switch disk.kind {
    case "cdrom": "CD-ROM"
    case "floppy": "Floppy"
    default: "Disk"
    }
  }

  private static func medium(_ disk: VMDisk) -> String {
    (disk.volume.map { "volume \($0)" } ?? "empty") + (disk.bus.map { ", \($0)" } ?? "")
  }

  /// "detect 12 ms, decide 3 ms, fence 40 ms, start 95 ms: 150 ms"
  static func phases(_ recovery: Recovery) -> String {
    let phases = [
      ("detect", recovery.detectMilliseconds), ("decide", recovery.decideMilliseconds),
      ("fence", recovery.fenceMilliseconds), ("start", recovery.startMilliseconds),
    ]
    let parts = phases.map { "\($0.0) \(milliseconds($0.1))" }
    return "\(parts.joined(separator: ", ")): \(milliseconds(phases.reduce(0) { $0 + $1.1 }))"
  }

  private static func milliseconds(_ value: Double) -> String {
    value.isFinite && abs(value) < 1e15
      ? (value < 10 ? "\(Sizes.oneDecimal(value)) ms" : Times.duration(Int64(value))) : "?"
  }

  static func availability(_ vms: [VMAvailability], _ times: Times, _ style: Style) -> String {
    if vms.isEmpty { return "No virtual machine was started yet." }
    var table = Table(
      ["NAME", "AVAILABILITY", "UP", "DOWN PLANNED", "DOWN UNPLANNED", "OUTAGES", "SINCE"], right: [1, 5])
    for vm in vms {
      table.add([
        Table.Cell(vm.name.rawValue), Table.Cell(percent(vm.availability)),
        Table.Cell(Times.duration(vm.upMilliseconds)),
        Table.Cell(Times.duration(vm.plannedDownMilliseconds)),
        Table.Cell(Times.duration(vm.unplannedDownMilliseconds)),
        "\(vm.outages.count)", Table.Cell(times.clock(vm.sinceMilliseconds)),
      ])
    }
    let outages = vms.count == 1 ? vms[0].outages : []
    return table.text(style) + (outages.isEmpty ? "" : "\n\n" + self.outages(outages, times, style))
  }

  /// Outages that are shown; the newest ones.
  private static let outageLimit = 20

  private static func outages(_ outages: [VMOutage], _ times: Times, _ style: Style) -> String {
    var table = Table(["BEGAN", "LASTED", "PLANNED", "CAUSE"])
    for outage in outages.suffix(outageLimit) {
      let length = outage.endMilliseconds.map { Times.duration($0 &- outage.beginMilliseconds) }
      table.add([
        Table.Cell(times.clock(outage.beginMilliseconds)), Table.Cell(length ?? "until now"),
        Table.Cell(outage.planned ? "yes" : "no", outage.planned ? nil : .yellow), Table.Cell(outage.cause),
      ])
    }
    let hidden = outages.count - outageLimit
    return table.text(style) + (hidden > 0 ? "\nand \(hidden) before: -o json shows all" : "")
  }

  /// With five digits after the point, rounded down: 0.999995 is not 100 percent.
  static func percent(_ part: Double) -> String {
    guard part.isFinite else { return "?" }
    let units = Int64((min(1, max(0, part)) * 10_000_000).rounded(.down))
    let fraction = "\(units % 100_000)"
    return "\(units / 100_000)." + String(repeating: "0", count: 5 - fraction.count) + fraction + "%"
  }
}

/// Waits for a virtual machine that is shutting down.
struct VMWait {
  let session: Session
  let name: VMName

  /// Time that the end itself may take, after the guest's own.
  private static let grace = 15

  func untilEnded(_ first: VMSummary, within seconds: Int) async throws -> VMSummary {
    let progress = Progress()
    defer { progress.clear() }
    let deadline = ContinuousClock.now + .seconds(seconds) + .seconds(Self.grace)
    var last = first
    while last.state == .stopping {
      guard ContinuousClock.now < deadline else {
        throw Complaint("\(VMText.line(last)), and does not end. End it at once: ftctl vm kill \(name)", .timedOut)
      }
      progress.show("\(name) shuts down")
      guard let now = try await next() else { return last }
      last = now
    }
    return last
  }

  /// A save takes as long as its memory is large; it can be interrupted here, and goes on.
  func untilSaved(_ first: VMSummary) async throws -> VMSummary {
    let progress = Progress()
    defer { progress.clear() }
    var last = first
    while last.state == .saving {
      progress.show("\(name) is being saved")
      guard let now = try await next() else { return last }
      last = now
    }
    return last
  }

  private func next() async throws -> VMSummary? {
    try await Task.sleep(for: .milliseconds(100))
    return try await session.call(ListVMs.self, Nothing(), on: .vm).vms.first { $0.name == name }
  }
}
