/// Reads `<serial>` and `<console>`.
enum ConsoleReader {
  /// Where the console is; the primary `<console>` of libvirt is the serial port itself.
  static func read(_ devices: Scan) throws(DomainError) -> Domain.Console? {
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
    guard let target = try console?.child("target") else {
      return serial != nil || console != nil ? .serial : nil
    }
    try target.allow(attributes: ["type", "port"])
    try target.choice("port", ["0"])
    guard try target.choice("type", ["serial", "virtio"]) == "virtio" else { return .serial }
    guard serial == nil else {
      throw target.error(attribute: "type", "a virtual machine has one console; remove <serial> or this one")
    }
    return .virtio
  }
}
