import DomainXML

/// Screen, video card and input devices.
extension QEMUArguments {
  var displayWords: [String] {
    var words: [String] = []
    if let graphics = domain.devices.graphics {
      words += ["-vnc", "unix:\(Self.escaped(files.screen))"]
      if let keymap = graphics.keymap { words += ["-k", keymap] }
    }
    guard let video = domain.devices.video else { return words }
    let memory = video.memoryMiB.map { ",vgamem_mb=\($0)" } ?? ""
    let driver =
      switch video.model {
      case .vga: "VGA"
      case .virtio: "virtio-vga"
      case .cirrus: "cirrus-vga"
      case .bochs: "bochs-display"
      }
    return words + ["-device", "\(driver),id=video0\(memory)"]
  }

  var inputWords: [String] {
    var words: [String] = []
    if let usb = domain.devices.usb {
      words += ["-device", usb == .xhci ? "qemu-xhci,id=usb" : "piix3-usb-uhci,id=usb"]
    }
    for (index, input) in domain.devices.inputs.enumerated() {
      let driver =
        switch (input.bus, input.kind) {
        case (.virtio, _): "virtio-\(input.kind.rawValue)-pci"
        case (_, .keyboard): "usb-kbd"
        case (_, _): "usb-\(input.kind.rawValue)"
        }
      words += ["-device", "\(driver),id=input\(index)\(input.bus == .usb ? ",bus=usb.0" : "")"]
    }
    return words
  }
}
