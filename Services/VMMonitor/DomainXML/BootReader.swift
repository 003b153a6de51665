import Primitives

/// Reads `<os>` and `<features>`.
enum BootReader {
  static func read(_ domain: Scan, _ name: VMName) throws(DomainError) -> Domain.Boot {
    try features(of: domain)
    guard let os = try domain.child("os") else { throw domain.error("<os> is missing") }
    try os.allow(
      attributes: ["firmware"],
      children: ["type", "loader", "nvram", "kernel", "initrd", "cmdline", "boot", "bootmenu"])
    guard let type = try os.child("type") else { throw os.error("<type> is missing") }
    try type.allow(attributes: ["arch", "machine"], text: true)
    try type.choice("arch", ["x86_64"])
    guard type.element.trimmedText == "hvm" else { throw type.error("only 'hvm' is supported") }
    guard let machine = Domain.Boot.Machine(rawValue: type.attribute("machine") ?? "q35") else {
      throw type.error(attribute: "machine", "is not supported; write 'q35' or 'pc'")
    }
    var boot = Domain.Boot(machine: machine)
    boot.firmware = try FirmwareReader.read(os, name, machine)
    try kernel(os, &boot)
    for element in os.children("boot") {
      try element.allow(attributes: ["dev"])
      _ = try element.required("dev")
      guard let device = try element.value("dev", Domain.Boot.Device.self) else { continue }
      guard !boot.order.contains(device) else { throw element.error("'\(device.rawValue)' is there twice") }
      boot.order.append(device)
    }
    boot.menu = try menu(os.child("bootmenu"))
    return boot
  }

  private static func kernel(_ os: Scan, _ boot: inout Domain.Boot) throws(DomainError) {
    let kernel = try os.child("kernel")
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
      boot.commandLine = try element.text(limit: DomainReader.Limits.commandLineBytes)
    }
  }

  private static func menu(_ element: Scan?) throws(DomainError) -> Domain.Boot.Menu? {
    guard let element else { return nil }
    try element.allow(attributes: ["enable", "timeout"])
    _ = try element.required("enable")
    let isEnabled = try element.flag("enable")
    let timeout = try element.number(attribute: "timeout", in: 0...65_535)
    return isEnabled == true ? .init(milliseconds: timeout.map(Int.init)) : nil
  }

  /// What every machine here has, and nothing else.
  private static func features(of domain: Scan) throws(DomainError) {
    guard let features = try domain.child("features") else { return }
    try features.allow(children: ["acpi", "apic", "pae", "vmport"])
    for name in ["acpi", "apic", "pae"] { try features.child(name)?.allow() }
    if let port = try features.child("vmport") {
      try port.allow(attributes: ["state"])
      _ = try port.required("state")
      try port.choice("state", ["off"])
    }
  }
}
