import Primitives

/// What no element can tell by itself: whether those of a definition fit each other.
enum WholeReader {
  static func check(_ domain: Domain, _ root: Scan) throws(DomainError) {
    if let forward = domain.settings.forwards.first, domain.interfaces.isEmpty {
      throw DomainError(
        element: "domain/metadata/forward", line: forward.line,
        "there is no interface to forward to; add <interface type='user'> to the devices")
    }
    if domain.memory.currentBytes != nil, domain.devices.balloon == nil, let current = try root.child("currentMemory") {
      throw current.error(
        "less than <memory> needs a balloon; make it equal, or add <memballoon model='virtio'/> to the devices")
    }
    for disk in domain.disks { try check(disk, domain) }
    try checkBootOrder(domain, root)
    if let uefi = domain.boot.firmware.uefi, domain.disks.contains(where: { $0.volume == uefi.variables }) {
      throw DomainError(
        element: "domain/os", line: try root.child("os")?.element.line ?? 1,
        "the volume '\(uefi.variables)' keeps the firmware's variables and cannot be a disk, too")
    }
  }

  private static func check(_ disk: Domain.Disk, _ domain: Domain) throws(DomainError) {
    let element = "domain/devices/disk/target"
    if disk.bus == .scsi, !domain.devices.hasSCSIController {
      throw DomainError(
        element: element, attribute: "bus", line: disk.line,
        "a SCSI disk needs <controller type='scsi' index='0' model='virtio-scsi'/> among the devices")
    }
    if disk.kind == .disk, disk.isReadOnly, disk.bus == .ide || disk.bus == .sata {
      throw DomainError(
        element: "domain/devices/disk/readonly", line: disk.line,
        "a disk on bus '\(disk.bus)' cannot be read-only; take bus 'virtio' or 'scsi', or a CD-ROM drive")
    }
    if disk.bus == .ide, domain.boot.machine == .q35 {
      throw DomainError(
        element: element, attribute: "bus", line: disk.line,
        "the machine 'q35' has no IDE; write bus='sata', or machine='pc' in <os>")
    }
  }

  /// libvirt's rule: either `<os>` gives the order of kinds, or devices give theirs, each number once.
  private static func checkBootOrder(_ domain: Domain, _ root: Scan) throws(DomainError) {
    let disks = domain.disks.compactMap { disk in disk.bootOrder.map { ($0, disk.line, "disk") } }
    let interfaces = domain.interfaces.compactMap { nic in nic.bootOrder.map { ($0, nic.line, "interface") } }
    var seen: Set<Int> = []
    for (order, line, device) in disks + interfaces {
      let element = "domain/devices/\(device)/boot"
      guard domain.boot.order.isEmpty else {
        throw DomainError(
          element: element, line: line, "<boot dev='...'/> in <os> gives the order already; keep one of both")
      }
      guard seen.insert(order).inserted else {
        throw DomainError(element: element, attribute: "order", line: line, "another device has \(order), too")
      }
    }
  }
}
