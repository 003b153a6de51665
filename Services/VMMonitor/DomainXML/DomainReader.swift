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
    static let inputs = 8
    static let features = 64
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
    let name = try name(of: domain)
    let result = Domain(
      name: name, uuid: try uuid(of: domain), title: try title(of: domain), isEmulated: type == "qemu",
      memory: try MemoryReader.read(domain), topology: try ProcessorReader.topology(of: domain),
      boot: try BootReader.read(domain, name), processor: try ProcessorReader.processor(of: domain),
      clock: try ClockReader.read(domain),
      onReboot: try event("on_reboot", of: domain, Domain.OnReboot.init(rawValue:), "restart, destroy") ?? .restart,
      onCrash: try event("on_crash", of: domain, Domain.OnCrash.init(rawValue:), "restart, destroy"),
      devices: try DeviceReader.read(domain.child("devices")),
      settings: try domain.child("metadata").map(MetadataReader.read) ?? Domain.Settings())
    try WholeReader.check(result, domain)
    return result
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
