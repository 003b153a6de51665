/// Reads `<graphics>`, `<video>` and `<input>`.
enum DisplayReader {
  static func graphics(_ devices: Scan) throws(DomainError) -> Domain.Graphics? {
    guard let element = try devices.child("graphics") else { return nil }
    try element.allow(attributes: ["type", "keymap"], children: ["listen"])
    _ = try element.required("type")
    try element.choice("type", ["vnc"])
    let advice = "the screen is reached through the host; write <listen type='socket'/>"
    guard let listen = try element.child("listen") else { throw element.error("<listen> is missing: \(advice)") }
    try listen.allow(attributes: ["type"])
    _ = try listen.required("type")
    try listen.choice("type", ["socket"], advice)
    guard let keymap = element.attribute("keymap") else { return .init() }
    guard Scan.isPlain(keymap), !keymap.hasPrefix("."), keymap.utf8.count <= 16 else {
      throw element.error(attribute: "keymap", "'\(keymap.prefix(20))' is not the name of a keyboard layout")
    }
    return .init(keymap: keymap)
  }

  /// The video card; where there is a screen and none is named, a VGA.
  static func video(_ devices: Scan, _ graphics: Domain.Graphics?) throws(DomainError) -> Domain.Video? {
    guard let video = try devices.child("video") else {
      return graphics == nil ? nil : .init(model: .vga)
    }
    try video.allow(children: ["model"])
    guard let model = try video.child("model") else { throw video.error("<model> is missing") }
    try model.allow(attributes: ["type", "vram", "heads", "primary"])
    let type = try model.required("type")
    try model.choice("type", ["none"] + Domain.Video.Model.allCases.map(\.rawValue))
    try model.choice("heads", ["1"])
    try model.choice("primary", ["yes"])
    let memory = try memory(model, type)
    return Domain.Video.Model(rawValue: type).map { .init(model: $0, memoryMiB: memory) }
  }

  private static func memory(_ model: Scan, _ type: String) throws(DomainError) -> Int? {
    guard let kibibytes = try model.number(attribute: "vram", in: 1024...262_144) else { return nil }
    guard type == Domain.Video.Model.vga.rawValue else {
      throw model.error(attribute: "vram", "is not supported with type '\(type)'; remove it")
    }
    guard kibibytes.nonzeroBitCount == 1 else {
      throw model.error(attribute: "vram", "\(kibibytes) is not a power of two")
    }
    return Int(kibibytes / 1024)
  }

  static func inputs(_ devices: Scan) throws(DomainError) -> [Domain.Input] {
    var inputs: [Domain.Input] = []
    for element in devices.children("input") {
      try element.allow(attributes: ["type", "bus"])
      _ = try element.required("type")
      guard let kind = try element.value("type", Domain.Input.Kind.self) else { continue }
      let bus = try element.value("bus", Domain.Input.Bus.self) ?? (kind == .tablet ? .usb : .ps2)
      guard bus != .ps2 || kind != .tablet else {
        throw element.error(attribute: "bus", "a tablet has no PS/2; write 'usb'")
      }
      // Every machine here has a PS/2 mouse and keyboard.
      guard bus != .ps2 else { continue }
      inputs.append(.init(kind: kind, bus: bus))
      guard inputs.count <= DomainReader.Limits.inputs else {
        throw element.error("there are more than \(DomainReader.Limits.inputs) inputs")
      }
    }
    return inputs
  }
}
