import DomainXML
import RPC

/// Disks and drives: each a block node `drive-TARGET` with its device TARGET.
extension QEMUArguments {
  var diskWords: [String] {
    let order = BootIndexes(domain)
    return controllerWords
      + domain.disks.flatMap { disk in
        let export = plan.disks.first { $0.disk.target == disk.target }?.export
        return words(for: disk, export, bootIndex: order.of(disk: disk.target))
      }
  }

  /// Controllers that the machine does not have by itself.
  private var controllerWords: [String] {
    var words: [String] = []
    let buses = Set(domain.disks.map(\.bus))
    if domain.devices.hasSCSIController { words += ["-device", "virtio-scsi-pci,id=scsi0"] }
    if buses.contains(.sata), domain.boot.machine == .pc { words += ["-device", "ich9-ahci,id=sata0"] }
    if buses.contains(.fdc), domain.boot.machine == .q35 { words += ["-device", "isa-fdc,id=fdc0"] }
    return words
  }

  private func words(for disk: Domain.Disk, _ export: GuestPlan.Export?, bootIndex: Int?) -> [String] {
    var device = "\(Self.driver(disk)),id=\(disk.target)\(place(of: disk))"
    var words: [String] = []
    if let export {
      let node = "drive-\(disk.target)"
      let blockdev = network(
        export, node: node, isReadOnly: disk.isReadOnly, passesDiscard: disk.passesDiscard && disk.kind == .disk)
      words += ["-blockdev", JSON.text(blockdev)]
      device += ",drive=\(node)"
    }
    // An I/O error stops the guest where it is; it never sees the error, and goes on when the cause is repaired.
    if disk.kind != .floppy { device += ",werror=stop,rerror=stop" }
    if disk.kind == .disk { device += ",write-cache=\(disk.hasWriteCache ? "on" : "off")" }
    if let serial = disk.serial { device += ",serial=\(Self.escaped(serial))" }
    if let bootIndex { device += ",bootindex=\(bootIndex)" }
    return words + ["-device", device]
  }

  /// A block node over NBD, whose server may be away for a while.
  func network(
    _ export: GuestPlan.Export, node: String, isReadOnly: Bool, passesDiscard: Bool
  ) -> JSONValue {
    let server: JSONValue = ["type": "unix", "path": .string(export.socketPath)]
    return [
      "driver": "nbd", "node-name": .string(node), "server": server, "export": .string(export.name),
      "reconnect-delay": .integer(Int64(Self.reconnectSeconds)), "open-timeout": .integer(Int64(Self.openSeconds)),
      "read-only": .bool(isReadOnly), "discard": .string(passesDiscard ? "unmap" : "ignore"),
      "cache": ["direct": true, "no-flush": false],
    ]
  }

  private static func driver(_ disk: Domain.Disk) -> String {
    switch (disk.bus, disk.kind) {
    case (_, .floppy), (.fdc, _): "floppy"
    case (.virtio, _): "virtio-blk-pci"
    case (.scsi, .cdrom): "scsi-cd"
    case (.scsi, _): "scsi-hd"
    case (.sata, .cdrom), (.ide, .cdrom): "ide-cd"
    case (.sata, _), (.ide, _): "ide-hd"
    }
  }

  /// Where on its bus a drive is, which its target says.
  private func place(of disk: Domain.Disk) -> String {
    let isPC = domain.boot.machine == .pc
    return switch disk.bus {
    case .virtio: ""
    case .sata: ",bus=\(isPC ? "sata0" : "ide").\(disk.unit)"
    case .ide: ",bus=ide.\(disk.unit / 2),unit=\(disk.unit % 2)"
    case .scsi: ",bus=scsi0.0,scsi-id=\(disk.unit),lun=0"
    // The PC has a controller of its own, whose bus has this name.
    case .fdc: ",bus=\(isPC ? "floppy-bus.0" : "fdc0.0"),unit=\(disk.unit)"
    }
  }
}
