import Primitives

/// Reads `<disk>`.
enum DiskReader {
  /// Places on the buses that have few.
  private static let places: [Domain.Disk.Bus: Int] = [.sata: 6, .ide: 4, .fdc: 2, .scsi: 256]

  static func read(_ devices: Scan) throws(DomainError) -> [Domain.Disk] {
    var disks: [Domain.Disk] = []
    for element in devices.children("disk") {
      let disk = try disk(element)
      if let other = disks.first(where: { $0.target == disk.target }) {
        throw element.error("the target '\(disk.target)' is that of the disk on line \(other.line), too")
      }
      if let volume = disk.volume, let other = disks.first(where: { $0.volume == volume }) {
        throw element.error("the volume '\(volume)' is that of the disk on line \(other.line), too")
      }
      disks.append(disk)
      guard disks.count <= DomainReader.Limits.disks else {
        throw element.error("there are more than \(DomainReader.Limits.disks) disks")
      }
    }
    return disks
  }

  private static func disk(_ element: Scan) throws(DomainError) -> Domain.Disk {
    try element.allow(
      attributes: ["type", "device"], children: ["driver", "source", "target", "serial", "readonly", "boot"])
    _ = try element.required("type")
    try element.choice("type", ["volume"], "make a volume with 'ftctl volume create' and name it in <source>")
    let kind = try element.choice("device", ["disk", "cdrom", "floppy"]).flatMap(Domain.Disk.Kind.init(rawValue:))
    let target = try target(element, kind ?? .disk)
    let driver = try driver(element.child("driver"))
    let isReadOnly = try flag("readonly", of: element)
    return Domain.Disk(
      kind: kind ?? .disk, bus: target.bus, target: target.name, volume: try volume(element, kind ?? .disk),
      isReadOnly: isReadOnly || kind == .cdrom, hasWriteCache: driver.cache, passesDiscard: driver.discard,
      serial: try serialNumber(element.child("serial"), kind ?? .disk), bootOrder: try BootOrder.read(element),
      line: element.element.line)
  }

  private static func volume(_ element: Scan, _ kind: Domain.Disk.Kind) throws(DomainError) -> VolumeName? {
    guard let source = try element.child("source") else {
      guard kind == .disk else { return nil }
      throw element.error("<source> is missing; write <source pool='ftvs' volume='NAME'/>")
    }
    return try SourceReader.volume(source)
  }

  private static func target(
    _ element: Scan, _ kind: Domain.Disk.Kind
  ) throws(DomainError) -> (name: String, bus: Domain.Disk.Bus) {
    guard let target = try element.child("target") else {
      throw element.error("<target> is missing; write \(example(kind))")
    }
    try target.allow(attributes: ["dev", "bus"])
    let name = try target.required("dev")
    let buses: [Domain.Disk.Bus] =
      switch kind {
      case .disk: [.virtio, .sata, .ide, .scsi]
      case .cdrom: [.sata, .ide, .scsi]
      case .floppy: [.fdc]
      }
    guard let word = try target.choice("bus", buses.map(\.rawValue)) ?? natural(name, kind)?.rawValue,
      let bus = Domain.Disk.Bus(rawValue: word)
    else { throw target.error(attribute: "bus", "is missing; write \(example(kind))") }
    guard name.hasPrefix(prefix(bus)), let unit = Domain.Disk.unit(name) else {
      throw target.error(
        attribute: "dev", "'\(name.prefix(20))' is not a name such as '\(prefix(bus))a', as bus '\(bus)' asks for")
    }
    if let places = places[bus], unit >= places {
      throw target.error(attribute: "dev", "the bus '\(bus)' has \(places) places; '\(name)' is beyond them")
    }
    return (name, bus)
  }

  /// The bus of a target that names none, as far as its name tells.
  private static func natural(_ name: String, _ kind: Domain.Disk.Kind) -> Domain.Disk.Bus? {
    switch name.prefix(2) {
    case "vd" where kind == .disk: .virtio
    case "hd" where kind != .floppy: .ide
    case "fd" where kind == .floppy: .fdc
    default: nil
    }
  }

  private static func prefix(_ bus: Domain.Disk.Bus) -> String {
    switch bus {
    case .virtio: "vd"
    case .sata, .scsi: "sd"
    case .ide: "hd"
    case .fdc: "fd"
    }
  }

  private static func example(_ kind: Domain.Disk.Kind) -> String {
    switch kind {
    case .disk: "<target dev='vda' bus='virtio'/>"
    case .cdrom: "<target dev='sda' bus='sata'/>"
    case .floppy: "<target dev='fda' bus='fdc'/>"
    }
  }

  private static func driver(_ driver: Scan?) throws(DomainError) -> (cache: Bool, discard: Bool) {
    guard let driver else { return (true, true) }
    try driver.allow(attributes: ["name", "type", "cache", "discard"])
    try driver.choice("name", ["qemu"])
    try driver.choice("type", ["raw"], "volumes appear raw to the guest, whatever their layers are")
    let cache = try driver.choice("cache", ["none", "writeback", "writethrough", "directsync"])
    let discard = try driver.choice("discard", ["unmap", "ignore"])
    return (cache != "writethrough" && cache != "directsync", discard != "ignore")
  }

  private static func serialNumber(_ element: Scan?, _ kind: Domain.Disk.Kind) throws(DomainError) -> String? {
    guard let element else { return nil }
    try element.allow(text: true)
    guard kind != .floppy else { throw element.error("a floppy drive has no serial number; remove it") }
    let text = try element.text(limit: 20)
    guard Scan.isPlain(text) else {
      throw element.error("a serial number has up to 20 letters, digits, '.', '_' and '-'")
    }
    return text
  }

  private static func flag(_ name: String, of element: Scan) throws(DomainError) -> Bool {
    guard let child = try element.child(name) else { return false }
    try child.allow()
    return true
  }
}

/// Reads `<boot order='N'/>` of a device.
enum BootOrder {
  static func read(_ device: Scan) throws(DomainError) -> Int? {
    guard let boot = try device.child("boot") else { return nil }
    try boot.allow(attributes: ["order"])
    _ = try boot.required("order")
    return try boot.number(attribute: "order", in: 1...64).map(Int.init)
  }
}
