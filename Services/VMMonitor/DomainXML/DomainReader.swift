import Primitives

/// Turns the elements of a definition into a `Domain`.
enum DomainReader {
  /// Bounds on what one virtual machine may ask for.
  enum Limits {
    static let memoryBytes: ClosedRange<Int64> = 1 << 20...4 << 40
    static let cpus: ClosedRange<Int64> = 1...64
    static let disks = 16
    static let interfaces = 8
    static let forwards = 64
    static let commandLineBytes = 2047
  }

  static func read(_ root: XMLElement) throws(DomainError) -> Domain {
    let domain = Scan(root, path: root.name)
    guard root.name == "domain", root.namespace == nil else {
      throw domain.error("a definition begins with <domain>")
    }
    try domain.allow(
      attributes: ["type", "id"],
      children: [
        "name", "uuid", "title", "description", "metadata", "memory", "currentMemory", "vcpu", "os", "features", "cpu",
        "clock", "on_poweroff", "on_reboot", "on_crash", "devices",
      ])
    _ = try domain.required("type")
    let type = try domain.choice("type", ["qemu", "kvm"])
    let memory = try memory(of: domain)
    let settings = try domain.child("metadata").map(MetadataReader.read) ?? MetadataReader.Settings()
    let devices = try DeviceReader.read(domain.child("devices"))
    if let forward = settings.forwards.first, devices.interfaces.isEmpty {
      throw DomainError(
        element: "domain/metadata/forward", line: forward.line,
        "there is no interface to forward to; add <interface type='user'> to the devices")
    }
    return Domain(
      name: try name(of: domain), uuid: try uuid(of: domain), title: try title(of: domain),
      isEmulated: type == "qemu", memoryBytes: memory, topology: try topology(of: domain), boot: try boot(of: domain),
      processor: try processor(of: domain), clock: try clock(of: domain),
      onReboot: try event("on_reboot", of: domain, Domain.OnReboot.init(rawValue:), "restart, destroy") ?? .restart,
      onCrash: try event("on_crash", of: domain, Domain.OnCrash.init(rawValue:), "restart, destroy"),
      emulator: devices.emulator, disks: devices.disks, interfaces: devices.interfaces, forwards: settings.forwards,
      hasSerialPort: devices.hasSerialPort, hasRandomSource: devices.hasRandomSource, protection: settings.protection,
      restartPriority: settings.restartPriority ?? 0)
  }

  private static func name(of domain: Scan) throws(DomainError) -> VMName {
    guard let element = try domain.child("name") else { throw domain.error("<name> is missing") }
    try element.allow(text: true)
    guard let name = VMName(rawValue: element.element.trimmedText) else {
      throw element.error("'\(element.element.trimmedText.prefix(80))' is not allowed. \(VMName.rule)")
    }
    return name
  }

  private static func uuid(of domain: Scan) throws(DomainError) -> String? {
    guard let element = try domain.child("uuid") else { return nil }
    try element.allow(text: true)
    let digits = element.element.trimmedText.lowercased().filter { $0 != "-" }
    guard digits.utf8.count == 32, digits.allSatisfy({ $0.isHexDigit && $0.isASCII }),
      digits.contains(where: { $0 != "0" })
    else { throw element.error("'\(element.element.trimmedText.prefix(80))' is not a UUID") }
    let all = Array(digits)
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(all[$0]) }.joined(separator: "-")
  }

  private static func title(of domain: Scan) throws(DomainError) -> String? {
    for child in domain.children("description") { try child.allow(text: true) }
    guard let element = try domain.child("title") else { return nil }
    try element.allow(text: true)
    guard !element.element.text.contains("\n") else { throw element.error("a title has one line") }
    return element.element.trimmedText
  }

  // MARK: Memory and processors

  private static func memory(of domain: Scan) throws(DomainError) -> Int64 {
    guard let element = try domain.child("memory") else { throw domain.error("<memory> is missing") }
    let memory = try size(element)
    guard Limits.memoryBytes.contains(memory) else { throw element.error("memory must be from 1 MiB to 4 TiB") }
    if let current = try domain.child("currentMemory"), try size(current) != memory {
      throw current.error("a balloon is not supported; make it equal to <memory> or remove it")
    }
    return memory
  }

  /// Bytes, rounded up to KiB as libvirt does. The unit is KiB when left out.
  private static func size(_ element: Scan) throws(DomainError) -> Int64 {
    try element.allow(attributes: ["unit"], text: true)
    let units: [String: Int64] = [
      "b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 1_000_000, "M": 1 << 20, "MiB": 1 << 20,
      "GB": 1_000_000_000, "G": 1 << 30, "GiB": 1 << 30, "TB": 1_000_000_000_000, "T": 1 << 40, "TiB": 1 << 40,
    ]
    let unit = element.attribute("unit") ?? "KiB"
    guard let factor = units[unit] else {
      throw element.error(attribute: "unit", "'\(unit.prefix(20))' is not a unit; write KiB, MiB or GiB")
    }
    let number = try element.number(in: 1...Int64.max / 2)
    let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
    guard !overflow, bytes <= Int64.max / 2 else { throw element.error("is more than a host can have") }
    return (bytes + 1023) / 1024 * 1024
  }

  private static func topology(of domain: Scan) throws(DomainError) -> Domain.Topology {
    var cpus: Int64 = 1
    if let element = try domain.child("vcpu") {
      try element.allow(attributes: ["placement"], text: true)
      try element.choice("placement", ["static"])
      cpus = try element.number(in: Limits.cpus)
    }
    guard let element = try domain.child("cpu")?.child("topology") else {
      return Domain.Topology(sockets: Int(cpus), cores: 1, threads: 1)
    }
    try element.allow(attributes: ["sockets", "dies", "cores", "threads"])
    try element.choice("dies", ["1"])
    var parts: [Int] = []
    for name in ["sockets", "cores", "threads"] {
      let text = try element.required(name)
      guard let number = Scan.number(text), Limits.cpus.contains(number) else {
        throw element.error(attribute: name, "'\(text.prefix(20))' is not a number from 1 to 64")
      }
      parts.append(Int(number))
    }
    let topology = Domain.Topology(sockets: parts[0], cores: parts[1], threads: parts[2])
    guard topology.cpus == Int(cpus) else {
      throw element.error("sockets * cores * threads is \(topology.cpus), but <vcpu> says \(cpus)")
    }
    return topology
  }

  private static func processor(of domain: Scan) throws(DomainError) -> Domain.Processor {
    guard let element = try domain.child("cpu") else { return .best }
    try element.allow(attributes: ["mode", "match", "check", "migratable"], children: ["model", "topology"])
    try element.choice("match", ["exact"])
    try element.choice("check", ["none"])
    try element.choice("migratable", ["on"])
    let mode = try element.choice("mode", ["custom", "host-passthrough", "maximum"])
    guard let model = try element.child("model") else {
      if mode == "custom" { throw element.error("mode 'custom' needs a <model>") }
      return mode == "host-passthrough" ? .host : .best
    }
    try model.allow(attributes: ["fallback"], text: true)
    try model.choice("fallback", ["forbid"])
    guard mode == nil || mode == "custom" else { throw model.error("a model needs mode='custom'") }
    let name = try model.text(limit: 64)
    guard name.utf8.allSatisfy({ $0.isASCIIAlphanumeric || [0x2D, 0x2E, 0x5F].contains($0) }) else {
      throw model.error("'\(name)' is not the name of a processor model")
    }
    return .model(name)
  }

  // MARK: Boot, clock, events

  private static func boot(of domain: Scan) throws(DomainError) -> Domain.Boot {
    try features(of: domain)
    guard let os = try domain.child("os") else { throw domain.error("<os> is missing") }
    try os.allow(children: ["type", "kernel", "initrd", "cmdline", "boot"])
    guard let type = try os.child("type") else { throw os.error("<type> is missing") }
    try type.allow(attributes: ["arch", "machine"], text: true)
    try type.choice("arch", ["x86_64"])
    guard type.element.trimmedText == "hvm" else { throw type.error("only 'hvm' is supported") }
    guard let machine = Domain.Boot.Machine(rawValue: type.attribute("machine") ?? "q35") else {
      throw type.error(attribute: "machine", "is not supported; write 'q35' or 'pc'")
    }
    let kernel = try os.child("kernel")
    var boot = Domain.Boot(machine: machine, fromDisk: false)
    if let kernel {
      try kernel.allow(text: true)
      boot.kernel = try kernel.filePath()
    }
    if let element = try os.child("initrd") {
      try element.allow(text: true)
      guard kernel != nil else { throw element.error("needs a <kernel>") }
      boot.initialRAMDisk = try element.filePath()
    }
    if let element = try os.child("cmdline") {
      try element.allow(text: true)
      guard kernel != nil else { throw element.error("needs a <kernel>") }
      boot.commandLine = try element.text(limit: Limits.commandLineBytes)
    }
    if let element = try os.child("boot") {
      try element.allow(attributes: ["dev"])
      _ = try element.required("dev")
      try element.choice("dev", ["hd"])
      boot.fromDisk = true
    }
    return boot
  }

  private static func features(of domain: Scan) throws(DomainError) {
    guard let features = try domain.child("features") else { return }
    try features.allow(children: ["acpi", "apic"])
    for name in ["acpi", "apic"] { try features.child(name)?.allow() }
  }

  private static func clock(of domain: Scan) throws(DomainError) -> Domain.Clock {
    guard let clock = try domain.child("clock") else { return .utc }
    try clock.allow(attributes: ["offset"])
    _ = try clock.required("offset")
    return Domain.Clock(rawValue: try clock.choice("offset", ["utc", "localtime"]) ?? "") ?? .utc
  }

  private static func event<Value>(
    _ name: String, of domain: Scan, _ value: (String) -> Value?, _ allowed: String
  ) throws(DomainError) -> Value? {
    if let off = try domain.child("on_poweroff") {
      try off.allow(text: true)
      guard off.element.trimmedText == "destroy" else { throw off.error("only 'destroy' is supported") }
    }
    guard let element = try domain.child(name) else { return nil }
    try element.allow(text: true)
    guard let value = value(element.element.trimmedText) else {
      throw element.error("'\(element.element.trimmedText.prefix(40))' is not supported, only \(allowed)")
    }
    return value
  }
}
