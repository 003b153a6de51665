import FTVSClient
import Primitives

/// A virtual machine that somebody describes by a few words, and its definition.
struct NewMachine: Equatable {
  /// A disk and where its volume comes from.
  struct Disk: Equatable {
    enum Source: Equatable {
      /// A volume that is there.
      case volume(VolumeName)
      /// An empty volume of this size that is made.
      case new(Int64)
      /// A volume that is made on an image of the library.
      case image(ImageName)
    }

    var source: Source

    init(_ source: Source) { self.source = source }

    /// Reads `VOLUME`, `new:SIZE` or `image:IMAGE`.
    init?(argument: String) {
      if argument.hasPrefix("new:") {
        guard let size = ByteCount(argument: String(argument.dropFirst(4))) else { return nil }
        source = .new(size.bytes)
      } else if argument.hasPrefix("image:") {
        guard let image = ImageName(rawValue: String(argument.dropFirst(6))) else { return nil }
        source = .image(image)
      } else {
        guard let volume = VolumeName(rawValue: argument) else { return nil }
        source = .volume(volume)
      }
    }
  }

  /// A port of the host that leads to one of the guest: `[tcp:|udp:][ADDRESS:]PORT:GUESTPORT`.
  struct Forward: Equatable {
    var transport = "tcp"
    var address = "127.0.0.1"
    var port: UInt16
    var guestPort: UInt16

    init?(argument: String) {
      var words = argument.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      if let first = words.first, first == "tcp" || first == "udp" {
        transport = first
        words.removeFirst()
      }
      if words.count == 3 { address = words.removeFirst() }
      guard words.count == 2, let port = UInt16(words[0]), let guestPort = UInt16(words[1]), port > 0, guestPort > 0
      else { return nil }
      self.port = port
      self.guestPort = guestPort
    }
  }

  enum Bus: String, CaseIterable { case virtio, sata, scsi }

  var name: VMName
  var title: String?
  var memoryBytes: Int64
  var cpus: Int
  var disks: [Disk] = []
  var bus = Bus.virtio
  /// Volumes in CD-ROM drives.
  var discs: [VolumeName] = []
  var hasNetwork = true
  var networkModel = "virtio"
  var forwards: [Forward] = []
  var isUEFI = false
  var machine = "q35"
  var kernel: String?
  var initialRAMDisk: String?
  var commandLine: String?
  var hasScreen = false
  /// Whether there is a channel to a guest agent.
  var hasAgent = false
  var protection: String?
  var module: ModuleID?

  /// The volume of a disk: the one that it names, or one of its own.
  func volume(of index: Int) -> VolumeName {
    if case .volume(let volume) = disks[index].source { return volume }
    let suffix = "-disk\(index)"
    return VolumeName(unchecked: String(name.rawValue.prefix(63 - suffix.utf8.count)) + suffix)
  }

  // MARK: Definition

  var xml: String {
    var text = XMLText()
    text.open("domain type='kvm'")
    text.line("name", name.rawValue)
    if let title { text.line("title", title) }
    metadata(&text)
    text.add("<memory unit='KiB'>\(memoryBytes / 1024)</memory>")
    text.add("<vcpu>\(cpus)</vcpu>")
    os(&text)
    text.add("<features><acpi/><apic/></features>")
    text.add("<cpu mode='maximum'/>")
    text.add("<clock offset='utc'/>")
    text.open("devices")
    drives(&text)
    devices(&text)
    text.close("devices")
    text.close("domain")
    return text.text
  }

  private func metadata(_ text: inout XMLText) {
    guard protection != nil || module != nil || !forwards.isEmpty else { return }
    text.open("metadata")
    text.open("ftvs:vm xmlns:ftvs='urn:ftvs:domain:1'")
    if let protection { text.add("<ftvs:protection level='\(protection)'/>") }
    if let module { text.add("<ftvs:module preferred='\(module.rawValue)'/>") }
    for forward in forwards {
      let host = XMLText.escaped("\(forward.address):\(forward.port)")
      text.add("<ftvs:forward protocol='\(forward.transport)' host='\(host)' guest='\(forward.guestPort)'/>")
    }
    text.close("ftvs:vm")
    text.close("metadata")
  }

  private func os(_ text: inout XMLText) {
    text.open(isUEFI ? "os firmware='efi'" : "os")
    text.add("<type arch='x86_64' machine='\(machine)'>hvm</type>")
    if let kernel { text.line("kernel", kernel) }
    if let initialRAMDisk { text.line("initrd", initialRAMDisk) }
    if let commandLine { text.line("cmdline", commandLine) }
    if kernel == nil {
      if !disks.isEmpty { text.add("<boot dev='hd'/>") }
      if !discs.isEmpty { text.add("<boot dev='cdrom'/>") }
    }
    text.close("os")
  }

  private func drives(_ text: inout XMLText) {
    for index in disks.indices {
      let target = "\(bus == .virtio ? "vd" : "sd")\(Self.letter(index))"
      drive(&text, "disk", volume(of: index), target: target, bus.rawValue)
    }
    let taken = bus == .sata ? disks.count : 0
    // On SCSI they would share letters with the disks.
    let first = bus == .scsi ? disks.count : taken
    for (index, disc) in discs.enumerated() {
      drive(&text, "cdrom", disc, target: "sd\(Self.letter(first + index))", bus == .scsi ? "scsi" : "sata")
    }
    if bus == .scsi { text.add("<controller type='scsi' index='0' model='virtio-scsi'/>") }
  }

  private func drive(_ text: inout XMLText, _ device: String, _ volume: VolumeName, target: String, _ bus: String) {
    text.open("disk type='volume' device='\(device)'")
    text.add("<source pool='ftvs' volume='\(volume)'/>")
    text.add("<target dev='\(target)' bus='\(bus)'/>")
    text.close("disk")
  }

  private func devices(_ text: inout XMLText) {
    if hasNetwork { text.add("<interface type='user'><model type='\(networkModel)'/></interface>") }
    text.add("<serial type='pty'/>")
    if hasScreen {
      text.add("<graphics type='vnc'><listen type='socket'/></graphics>")
      text.add("<video><model type='vga'/></video>")
      text.add("<input type='tablet' bus='usb'/>")
    }
    if hasAgent {
      text.open("channel type='unix'")
      text.add("<target type='virtio' name='org.qemu.guest_agent.0'/>")
      text.close("channel")
    }
    text.add("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
  }

  private static func letter(_ index: Int) -> String {
    String(decoding: [UInt8(ascii: "a") + UInt8(clamping: index % 26)], as: UTF8.self)
  }
}

/// Indented XML.
struct XMLText {
  private(set) var text = ""
  private var depth = 0

  mutating func add(_ line: String) { text += String(repeating: "  ", count: depth) + line + "\n" }

  mutating func line(_ name: String, _ content: String) { add("<\(name)>\(Self.escaped(content))</\(name)>") }

  mutating func open(_ tag: String) {
    add("<\(tag)>")
    depth += 1
  }

  mutating func close(_ name: String) {
    depth -= 1
    add("</\(name)>")
  }

  static func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, letter in
      switch letter {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "'": result += "&apos;"
      case "\"": result += "&quot;"
      default: result.append(letter)
      }
    }
  }
}
