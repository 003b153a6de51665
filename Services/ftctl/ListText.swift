import FTVSClient
import Primitives
import RPC

/// Lists of the API as tables.
enum ListText {
  static func vms(_ vms: [VMSummary], _ style: Style, indent: Int = 0) -> String {
    if vms.isEmpty { return "No virtual machines. Define one: ftctl vm define FILE" }
    var table = Table(["NAME", "STATE", "MODULE", "AUTOSTART", "FAILOVERS", "REASON"], right: [4])
    for vm in vms {
      table.add([
        Table.Cell(vm.name.rawValue), Table.Cell(vm.state), Table.Cell(Words.orDash(vm.module?.rawValue)),
        vm.autostart ? "yes" : "no", "\(vm.failovers)", Table.Cell(vm.reason ?? ""),
      ])
    }
    return table.text(style, indent: indent)
  }

  static func volumes(_ volumes: [VolumeStatus], _ style: Style, indent: Int = 0) -> String {
    if volumes.isEmpty { return "No volumes. Make one: ftctl volume create NAME --image IMAGE, or --size SIZE" }
    var table = Table(["NAME", "SIZE", "ALLOCATED", "IMAGE", "UNDO", "SESSIONS", "LEGS"], right: [1, 2, 5])
    for volume in volumes {
      let isWhole = volume.legs.count == LegID.allCases.count
      table.add([
        Table.Cell(volume.volume.rawValue), Table.Cell(Sizes.text(volume.sizeBytes)),
        Table.Cell(Sizes.text(allocated(volume))), Table.Cell(Words.orDash(volume.image?.rawValue)),
        volume.hasUndoLayer ? "yes" : "no", "\(volume.sessions)",
        Table.Cell(volume.legs.map(\.rawValue).joined(separator: " "), isWhole ? nil : .yellow),
      ])
    }
    return table.text(style, indent: indent)
  }

  /// What the volume itself takes; the image below it is shared.
  private static func allocated(_ volume: VolumeStatus) -> Int64 {
    volume.layers.filter { $0.image == nil }.reduce(0) { $0 &+ $1.allocatedBytes }
  }

  static func legs(_ legs: [StorageLeg], _ times: Times, _ style: Style, indent: Int = 0) -> String {
    var table = Table(["LEG", "STATE", "FOR", "FREE", "PATHS", "REASON"], right: [3])
    for leg in legs {
      var reason = leg.reason ?? ""
      if leg.state == .resyncing, let done = leg.doneBytes, let total = leg.totalBytes {
        reason = "\(Sizes.text(done)) of \(Sizes.text(total)) copied" + (reason.isEmpty ? "" : "; \(reason)")
      }
      table.add([
        Table.Cell(leg.leg.rawValue), Table.Cell(leg.state), Table.Cell(times.since(leg.sinceMilliseconds)),
        Table.Cell(Words.orDash(leg.freeBytes.map(Sizes.text))), paths(of: leg), Table.Cell(reason),
      ])
    }
    return table.text(style, indent: indent)
  }

  /// "0 failed, 1 active"
  private static func paths(of leg: StorageLeg) -> Table.Cell {
    let words = leg.paths.map { path in
      "\(path.path) \(path.state.rawValue)" + (path.reason.map { " (\($0))" } ?? "")
    }
    let isWhole = leg.paths.allSatisfy { $0.state != .failed }
    return Table.Cell(Words.orDash(words.isEmpty ? nil : words.joined(separator: ", ")), isWhole ? nil : .yellow)
  }

  static func images(_ images: [ImageStatus], _ times: Times, _ style: Style) -> String {
    if images.isEmpty { return "No images. Add one: ftctl library import NAME FILE" }
    var table = Table(["NAME", "SIZE", "ALLOCATED", "ADDED", "SYSTEM", "USED BY", "DESCRIPTION"], right: [1, 2])
    for image in images {
      let users = image.usedBy.prefix(4).map(\.rawValue).joined(separator: " ")
      table.add([
        Table.Cell(image.image.rawValue), Table.Cell(Sizes.text(image.sizeBytes)),
        Table.Cell(Sizes.text(image.allocatedBytes)), Table.Cell(times.clock(image.createdMilliseconds)),
        Table.Cell(Words.orDash(image.operatingSystem.isEmpty ? nil : image.operatingSystem)),
        Table.Cell(Words.orDash(users + (image.usedBy.count > 4 ? " and \(image.usedBy.count - 4) more" : ""))),
        Table.Cell(image.description),
      ])
    }
    return table.text(style)
  }

  static func alerts(_ alerts: [AlertRecord], _ times: Times, _ style: Style, indent: Int = 0) -> String {
    if alerts.isEmpty { return "No alerts." }
    var table = Table(["NUMBER", "TIME", "SEVERITY", "STATE", "SUBJECT", "MESSAGE"], right: [0])
    for alert in alerts { table.add(cells(alert, times)) }
    return table.text(style, indent: indent)
  }

  /// An alert as a line of a log.
  static func line(_ alert: AlertRecord, _ times: Times, _ style: Style) -> String {
    cells(alert, times).map { style.paint($0.text, $0.colour) }.joined(separator: "  ")
  }

  private static func cells(_ alert: AlertRecord, _ times: Times) -> [Table.Cell] {
    [
      "\(alert.sequence)", Table.Cell(times.clock(alert.timeMilliseconds)), Table.Cell(alert.severity),
      Table.Cell(alert.state == .recorded ? "-" : alert.state.rawValue), Table.Cell(alert.subject),
      Table.Cell(alert.message),
    ]
  }
}
