/// Reads `<interface>`.
enum InterfaceReader {
  static func read(_ devices: Scan) throws(DomainError) -> [Domain.Interface] {
    var interfaces: [Domain.Interface] = []
    for element in devices.children("interface") {
      let interface = try interface(element)
      if let mac = interface.mac, interfaces.contains(where: { $0.mac == mac }) {
        throw element.error("the address \(mac) is that of another interface, too")
      }
      interfaces.append(interface)
      guard interfaces.count <= DomainReader.Limits.interfaces else {
        throw element.error("there are more than \(DomainReader.Limits.interfaces) interfaces")
      }
    }
    return interfaces
  }

  private static func interface(_ element: Scan) throws(DomainError) -> Domain.Interface {
    try element.allow(attributes: ["type"], children: ["mac", "model", "boot"])
    _ = try element.required("type")
    try element.choice("type", ["user"])
    var model = Domain.Interface.Model.virtio
    if let child = try element.child("model") {
      try child.allow(attributes: ["type"])
      _ = try child.required("type")
      model = try child.value("type", Domain.Interface.Model.self) ?? .virtio
    }
    return Domain.Interface(
      mac: try element.child("mac").map(mac), model: model, bootOrder: try BootOrder.read(element),
      line: element.element.line)
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
}
