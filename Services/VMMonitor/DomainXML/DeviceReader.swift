import Primitives

/// Reads `<devices>`.
enum DeviceReader {
  static func read(_ devices: Scan?) throws(DomainError) -> Domain.Devices {
    var result = Domain.Devices()
    guard let devices else { return result }
    try devices.allow(children: [
      "emulator", "disk", "interface", "serial", "console", "rng", "memballoon", "controller", "video", "graphics",
      "input", "watchdog", "panic", "channel",
    ])
    if let element = try devices.child("emulator") {
      try element.allow(text: true)
      result.emulator = .init(value: try element.filePath(), line: element.element.line)
    }
    result.disks = try DiskReader.read(devices)
    result.interfaces = try InterfaceReader.read(devices)
    result.console = try ConsoleReader.read(devices)
    result.random = try random(devices)
    result.balloon = try balloon(devices)
    result.watchdog = try watchdog(devices)
    result.hasPanicNotifier = try panicNotifier(devices)
    result.hasGuestAgent = try ChannelReader.hasGuestAgent(devices)
    let controllers = try ControllerReader.read(devices)
    result.hasSCSIController = controllers.hasSCSI
    result.inputs = try DisplayReader.inputs(devices)
    result.usb = try controllers.usb(for: result.inputs, devices)
    result.graphics = try DisplayReader.graphics(devices)
    result.video = try DisplayReader.video(devices, result.graphics)
    return result
  }

  private static func random(_ devices: Scan) throws(DomainError) -> Domain.RandomSource? {
    guard let element = try devices.child("rng") else { return nil }
    try element.allow(attributes: ["model"], children: ["backend", "rate"])
    try element.choice("model", ["virtio"])
    guard let backend = try element.child("backend") else { throw element.error("<backend> is missing") }
    try backend.allow(attributes: ["model"], text: true)
    try backend.choice("model", ["random"])
    guard ["", "/dev/urandom"].contains(backend.element.trimmedText) else {
      throw backend.error("only /dev/urandom is supported")
    }
    guard let rate = try element.child("rate") else { return .init() }
    try rate.allow(attributes: ["bytes", "period"])
    _ = try rate.required("bytes")
    let bytes = try rate.number(attribute: "bytes", in: 1...1 << 30)
    let period = try rate.number(attribute: "period", in: 1...3_600_000)
    return .init(limit: bytes.map { .init(bytes: $0, periodMilliseconds: period ?? 1000) })
  }

  private static func balloon(_ devices: Scan) throws(DomainError) -> Domain.Balloon? {
    guard let element = try devices.child("memballoon") else { return nil }
    try element.allow(attributes: ["model", "autodeflate", "freePageReporting"])
    _ = try element.required("model")
    let isVirtio = try element.choice("model", ["none", "virtio"]) == "virtio"
    let balloon = Domain.Balloon(
      deflatesOnOOM: try element.flag("autodeflate", "on", "off") ?? false,
      reportsFreePages: try element.flag("freePageReporting", "on", "off") ?? false)
    return isVirtio ? balloon : nil
  }

  private static func watchdog(_ devices: Scan) throws(DomainError) -> Domain.Watchdog? {
    guard let element = try devices.child("watchdog") else { return nil }
    try element.allow(attributes: ["model", "action"])
    _ = try element.required("model")
    try element.choice("model", ["i6300esb"])
    return try element.value("action", Domain.Watchdog.self) ?? .reset
  }

  private static func panicNotifier(_ devices: Scan) throws(DomainError) -> Bool {
    guard let element = try devices.child("panic") else { return false }
    try element.allow(attributes: ["model"])
    try element.choice("model", ["isa"])
    return true
  }
}
