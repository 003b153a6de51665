import Primitives

/// Reads `<devices>`.
enum DeviceReader {
  struct Devices {
    var emulator: Domain.Located<String>?
    var disks: [Domain.Disk] = []
    var interfaces: [Domain.Interface] = []
    var hasSerialPort = false
    var hasRandomSource = false
  }

  static func read(_ devices: Scan?) throws(DomainError) -> Devices {
    var result = Devices()
    guard let devices else { return result }
    try devices.allow(children: [
      "emulator", "disk", "interface", "serial", "console", "rng", "memballoon", "controller", "video",
    ])
    if let element = try devices.child("emulator") {
      try element.allow(text: true)
      result.emulator = .init(value: try element.filePath(), line: element.element.line)
    }
    result.disks = try disks(devices)
    result.interfaces = try interfaces(devices)
    result.hasSerialPort = try serial(devices)
    result.hasRandomSource = try random(devices)
    try fixed(devices)
    return result
  }

  private static func disks(_ devices: Scan) throws(DomainError) -> [Domain.Disk] {
    var disks: [Domain.Disk] = []
    for element in devices.children("disk") {
      let disk = try disk(element)
      if let other = disks.first(where: { $0.target == disk.target }) {
        throw element.error("the target '\(disk.target)' is that of the disk on line \(other.line), too")
      }
      if let other = disks.first(where: { $0.volume == disk.volume }) {
        throw element.error("the volume '\(disk.volume)' is that of the disk on line \(other.line), too")
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
      attributes: ["type", "device"], children: ["driver", "source", "target", "serial", "readonly"])
    _ = try element.required("type")
    try element.choice("type", ["volume"], "make a volume with 'ftctl volume create' and name it in <source>")
    try element.choice("device", ["disk"])
    guard let source = try element.child("source") else {
      throw element.error("<source> is missing; write <source pool='ftvs' volume='NAME'/>")
    }
    try source.allow(attributes: ["pool", "volume"])
    _ = try source.required("pool")
    try source.choice("pool", ["ftvs"])
    let text = try source.required("volume")
    guard let volume = VolumeName(rawValue: text) else {
      throw source.error(attribute: "volume", "'\(text.prefix(80))' is not allowed. \(VolumeName.rule)")
    }
    guard let target = try element.child("target") else {
      throw element.error("<target> is missing; write <target dev='vda' bus='virtio'/>")
    }
    try target.allow(attributes: ["dev", "bus"])
    try target.choice("bus", ["virtio"])
    let name = try target.required("dev")
    guard name.hasPrefix("vd"), (3...4).contains(name.utf8.count),
      name.utf8.allSatisfy({ (0x61...0x7A).contains($0) })
    else { throw target.error(attribute: "dev", "'\(name.prefix(20))' is not a name such as 'vda'") }
    let driver = try driver(element.child("driver"))
    return Domain.Disk(
      target: name, volume: volume, isReadOnly: try flag("readonly", of: element), hasWriteCache: driver.cache,
      passesDiscard: driver.discard, serial: try serialNumber(element.child("serial")), line: element.element.line)
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

  private static func serialNumber(_ element: Scan?) throws(DomainError) -> String? {
    guard let element else { return nil }
    try element.allow(text: true)
    let text = try element.text(limit: 20)
    guard text.utf8.allSatisfy({ $0.isASCIIAlphanumeric || [0x2D, 0x2E, 0x5F].contains($0) }) else {
      throw element.error("a serial number has up to 20 letters, digits, '.', '_' and '-'")
    }
    return text
  }

  private static func flag(_ name: String, of element: Scan) throws(DomainError) -> Bool {
    guard let child = try element.child(name) else { return false }
    try child.allow()
    return true
  }

  private static func interfaces(_ devices: Scan) throws(DomainError) -> [Domain.Interface] {
    var interfaces: [Domain.Interface] = []
    for element in devices.children("interface") {
      try element.allow(attributes: ["type"], children: ["mac", "model"])
      _ = try element.required("type")
      try element.choice("type", ["user"])
      if let model = try element.child("model") {
        try model.allow(attributes: ["type"])
        _ = try model.required("type")
        try model.choice("type", ["virtio"])
      }
      let mac = try element.child("mac").map(mac)
      if let mac, interfaces.contains(where: { $0.mac == mac }) {
        throw element.error("the address \(mac) is that of another interface, too")
      }
      interfaces.append(Domain.Interface(mac: mac, line: element.element.line))
      guard interfaces.count <= DomainReader.Limits.interfaces else {
        throw element.error("there are more than \(DomainReader.Limits.interfaces) interfaces")
      }
    }
    return interfaces
  }

  private static func mac(_ element: Scan) throws(DomainError) -> String {
    try element.allow(attributes: ["address"])
    let text = try element.required("address").lowercased()
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
    guard parts.count == 6, bytes.count == 6, bytes[0] & 1 == 0, bytes.contains(where: { $0 != 0 }) else {
      throw element.error(attribute: "address", "'\(text.prefix(40))' is not the address of one interface")
    }
    return text
  }

  /// Whether there is a serial port; the primary console is the same one.
  private static func serial(_ devices: Scan) throws(DomainError) -> Bool {
    let serial = try devices.child("serial")
    try serial?.allow(attributes: ["type"], children: ["target"])
    try serial?.choice("type", ["pty"])
    if let target = try serial?.child("target") {
      try target.allow(attributes: ["type", "port"], children: ["model"])
      try target.choice("type", ["isa-serial"])
      try target.choice("port", ["0"])
      if let model = try target.child("model") {
        try model.allow(attributes: ["name"])
        try model.choice("name", ["isa-serial"])
      }
    }
    let console = try devices.child("console")
    try console?.allow(attributes: ["type"], children: ["target"])
    try console?.choice("type", ["pty"])
    if let target = try console?.child("target") {
      try target.allow(attributes: ["type", "port"])
      try target.choice("type", ["serial"])
      try target.choice("port", ["0"])
    }
    return serial != nil || console != nil
  }

  private static func random(_ devices: Scan) throws(DomainError) -> Bool {
    guard let element = try devices.child("rng") else { return false }
    try element.allow(attributes: ["model"], children: ["backend"])
    try element.choice("model", ["virtio"])
    guard let backend = try element.child("backend") else { throw element.error("<backend> is missing") }
    try backend.allow(attributes: ["model"], text: true)
    try backend.choice("model", ["random"])
    guard ["", "/dev/urandom"].contains(backend.element.trimmedText) else {
      throw backend.error("only /dev/urandom is supported")
    }
    return true
  }

  /// Devices that other tools always write, in the one form that is what the virtual machine has anyway.
  private static func fixed(_ devices: Scan) throws(DomainError) {
    if let balloon = try devices.child("memballoon") {
      try balloon.allow(attributes: ["model"])
      _ = try balloon.required("model")
      try balloon.choice("model", ["none"])
    }
    for controller in devices.children("controller") {
      try controller.allow(attributes: ["type", "index", "model"])
      _ = try controller.required("type")
      try controller.choice("index", ["0"])
      switch try controller.choice("type", ["pci", "usb"]) {
      case "usb": try controller.choice("model", ["none"])
      default: try controller.choice("model", ["pci-root", "pcie-root"])
      }
      if controller.attribute("model") == nil { throw controller.error("the attribute 'model' is missing") }
    }
    for video in devices.children("video") {
      try video.allow(children: ["model"])
      guard let model = try video.child("model") else { throw video.error("<model> is missing") }
      try model.allow(attributes: ["type"])
      _ = try model.required("type")
      try model.choice("type", ["none"])
    }
  }
}
