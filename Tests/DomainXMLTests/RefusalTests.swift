import DomainXML
import Primitives
import Testing

/// A definition, and where and why it is refused.
struct Refusal: Sendable, CustomTestStringConvertible {
  var xml: String
  var element: String
  var attribute: String?
  var line: Int
  var words: String
  var testDescription: String { "\(element) \(words)" }

  init(_ xml: String, _ element: String, _ attribute: String? = nil, line: Int, _ words: String) {
    self.xml = xml
    self.element = element
    self.attribute = attribute
    self.line = line
    self.words = words
  }
}

@Suite struct RefusalTests {
  static let domains: [Refusal] = [
    .init(Samples.domain(name: ""), "domain/name", line: 2, "not allowed"),
    .init(Samples.domain(name: "../etc"), "domain/name", line: 2, "not allowed"),
    .init(Samples.domain(memory: ""), "domain", line: 1, "<memory> is missing"),
    .init(Samples.domain(memory: "<memory>0</memory>"), "domain/memory", line: 3, "not a number"),
    .init(Samples.domain(memory: "<memory>-1</memory>"), "domain/memory", line: 3, "not a number"),
    .init(Samples.domain(memory: "<memory unit='TiB'>9223372</memory>"), "domain/memory", line: 3, "more than"),
    .init(Samples.domain(memory: "<memory unit='YiB'>1</memory>"), "domain/memory", "unit", line: 3, "not a unit"),
    .init(
      Samples.domain(extra: "<currentMemory>1024</currentMemory>"), "domain/currentMemory", line: 5, "balloon"),
    .init(Samples.domain(extra: "<vcpu>0</vcpu>"), "domain/vcpu", line: 5, "from 1 to 64"),
    .init(Samples.domain(extra: "<vcpu>1000000000</vcpu>"), "domain/vcpu", line: 5, "from 1 to 64"),
    .init(Samples.domain(extra: "<vcpu current='1'>2</vcpu>"), "domain/vcpu", "current", line: 5, "not supported"),
    .init(Samples.domain(extra: "<iothreads>2</iothreads>"), "domain/iothreads", line: 5, "not supported"),
    .init(Samples.domain(extra: "<name>b</name>"), "domain/name", line: 5, "twice"),
    .init(Samples.domain(extra: "<uuid>12</uuid>"), "domain/uuid", line: 5, "not a UUID"),
    .init(Samples.domain(extra: "<on_crash>preserve</on_crash>"), "domain/on_crash", line: 5, "not supported"),
    .init(
      Samples.domain(extra: "<features><hyperv/></features>"), "domain/features/hyperv", line: 5, "not supported"),
    .init(Samples.domain(os: ""), "domain", line: 1, "<os> is missing"),
    .init(Samples.domain(os: "<os><type>xen</type></os>"), "domain/os/type", line: 4, "hvm"),
    .init(
      Samples.domain(os: "<os><type arch='aarch64'>hvm</type></os>"), "domain/os/type", "arch", line: 4, "x86_64"),
    .init(
      Samples.domain(os: "<os><type>hvm</type><loader>x</loader></os>"), "domain/os/loader", line: 4, "absolute"),
    .init(
      Samples.domain(os: "<os firmware='efi'><type>hvm</type><nvram>/x</nvram></os>"), "domain/os/nvram", line: 4,
      "one leg alone"),
    .init(Samples.domain(os: "<os><type>hvm</type><nvram/></os>"), "domain/os/nvram", line: 4, "firmware='efi'"),
    .init(
      Samples.domain(os: "<os><type>hvm</type><loader type='pflash'>/x</loader></os>"), "domain/os/loader", line: 4,
      "template"),
    .init(
      Samples.domain(
        os: "<os><type machine='pc'>hvm</type><loader type='pflash' secure='yes'>/x</loader></os>"),
      "domain/os/loader", "secure", line: 4, "q35"),
    .init(
      Samples.domain(
        name: String(repeating: "n", count: 60), os: "<os firmware='efi'><type>hvm</type></os>"),
      "domain/os", line: 4, "too long"),
    .init(
      Samples.domain(os: "<os><type>hvm</type><boot dev='hd'/><boot dev='hd'/></os>"), "domain/os/boot", line: 4,
      "twice"),
    .init(
      Samples.domain(extra: "<cpu><feature name='aes'/></cpu>"), "domain/cpu/feature", "policy", line: 5,
      "check='full'"),
    .init(
      Samples.domain(extra: "<cpu><feature policy='disable' name='a,b'/></cpu>"), "domain/cpu/feature", "name",
      line: 5, "not the name"),
    .init(
      Samples.domain(extra: "<clock offset='utc'><timer name='tsc'/></clock>"), "domain/clock/timer", "name", line: 5,
      "not supported"),
    .init(
      Samples.domain(extra: "<currentMemory unit='GiB'>1</currentMemory>"), "domain/currentMemory", line: 5,
      "more than <memory>"),
    .init(Samples.domain(os: "<os><type>hvm</type><initrd>/i</initrd></os>"), "domain/os/initrd", line: 4, "kernel"),
    .init(
      Samples.domain(os: "<os><type>hvm</type><kernel>vmlinuz</kernel></os>"), "domain/os/kernel", line: 4, "absolute"),
  ]

  static let devices: [Refusal] = [
    .init(Samples.domain(devices: "<hostdev/>"), "domain/devices/hostdev", line: 7, "not supported"),
    .init(
      Samples.domain(devices: "<watchdog model='i6300esb' action='pause'/>"), "domain/devices/watchdog", "action",
      line: 7, "not supported"),
    .init(Samples.domain(devices: "<tpm model='tpm-crb'/>"), "domain/devices/tpm", line: 7, "not supported"),
    .init(
      Samples.domain(devices: "<graphics type='vnc' port='5900'/>"), "domain/devices/graphics", "port", line: 7,
      "not supported"),
    .init(
      Samples.domain(devices: "<graphics type='vnc'><listen type='address'/></graphics>"),
      "domain/devices/graphics/listen", "type", line: 7, "socket"),
    .init(
      Samples.domain(devices: "<video><model type='qxl'/></video>"), "domain/devices/video/model", "type", line: 7,
      "not supported"),
    .init(
      Samples.domain(devices: "<input type='tablet' bus='ps2'/>"), "domain/devices/input", "bus", line: 7, "usb"),
    .init(
      Samples.domain(devices: "<controller type='usb' model='none'/><input type='tablet'/>"), "domain/devices",
      line: 6, "usb"),
    .init(
      Samples.domain(devices: Accepted.drive("disk", "sda", "scsi", volume: "v")), "domain/devices/disk/target", "bus",
      line: 7, "virtio-scsi"),
    .init(
      Samples.domain(devices: Accepted.drive("disk", "hda", "ide", volume: "v")), "domain/devices/disk/target", "bus",
      line: 7, "sata"),
    .init(
      Samples.domain(devices: Accepted.drive("disk", "sdg", "sata", volume: "v")), "domain/devices/disk/target", "dev",
      line: 7, "6 places"),
    .init(
      Samples.domain(devices: Accepted.drive("disk", "sda", "sata", volume: "v", extra: "<readonly/>")),
      "domain/devices/disk/readonly", line: 7, "read-only"),
    .init(
      Samples.domain(devices: Accepted.drive("cdrom", "vda", "virtio")), "domain/devices/disk/target", "bus", line: 7,
      "not supported"),
    .init(
      Samples.domain(
        os: "<os><type>hvm</type><boot dev='hd'/></os>",
        devices: Accepted.drive("cdrom", "sda", "sata", extra: "<boot order='1'/>")),
      "domain/devices/disk/boot", line: 7, "already"),
    .init(
      Samples.domain(
        devices: Accepted.drive("cdrom", "sda", "sata", extra: "<boot order='1'/>") + "\n"
          + "<interface type='user'><boot order='1'/></interface>"),
      "domain/devices/interface/boot", "order", line: 8, "another device"),
    .init(
      Samples.domain(devices: "<disk type='file'><target dev='vda'/></disk>"), "domain/devices/disk", "type", line: 7,
      "volume create"),
    .init(
      Samples.domain(devices: "<disk type='volume'><target dev='vda'/></disk>"), "domain/devices/disk", line: 7,
      "<source> is missing"),
    .init(
      Samples.domain(devices: "<disk type='volume'><source pool='ftvs'/><target dev='vda'/></disk>"),
      "domain/devices/disk/source", line: 7, "'volume' is missing"),
    .init(
      Samples.domain(devices: "<disk type='volume'><source pool='ftvs' volume='v'/></disk>"), "domain/devices/disk",
      line: 7, "<target> is missing"),
    .init(
      Samples.domain(devices: Samples.disk() + "\n" + Samples.disk("vda", "w")), "domain/devices/disk", line: 8,
      "that of the disk on line 7"),
    .init(
      Samples.domain(devices: Samples.disk() + "\n" + Samples.disk("vdb", "v")), "domain/devices/disk", line: 8,
      "volume 'v'"),
    .init(Samples.domain(devices: Samples.disk("sda")), "domain/devices/disk/target", "dev", line: 7, "vda"),
    .init(
      Samples.domain(devices: "<interface type='bridge'/>"), "domain/devices/interface", "type", line: 7, "only 'user'"),
    .init(
      Samples.domain(devices: "<interface type='user'><mac address='01:00:00:00:00:01'/></interface>"),
      "domain/devices/interface/mac", "address", line: 7, "one interface"),
    .init(
      Samples.domain(devices: "<memballoon model='xen'/>"), "domain/devices/memballoon", "model", line: 7, "'none'"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:module preferred='io0'/>")), "domain/metadata/module", "preferred",
      line: 5, "cpu0"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:forward host='1.2.3.4:1' guest='1'/>")), "domain/metadata/forward",
      line: 5, "no interface"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:forward host='1.2.3:1' guest='1'/>")), "domain/metadata/forward",
      "host", line: 5, "ADDRESS:PORT"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:forward host='1.2.3.4:1' guest='0'/>")), "domain/metadata/forward",
      "guest", line: 5, "port"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:protection level='continuous'/>")), "domain/metadata/protection",
      "level", line: 5, "not supported"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:undo policy='none'/>")), "domain/metadata/undo", "policy", line: 5,
      "not supported"),
    .init(
      Samples.domain(extra: Samples.metadata("<f:colour/>")), "domain/metadata/colour", line: 5, "not supported"),
  ]

  static let documents: [Refusal] = [
    .init("", "", line: 1, "begins with <domain>"),
    .init("hello", "", line: 1, "begins with <domain>"),
    .init("<vm/>", "vm", line: 1, "begins with <domain>"),
    .init("<domain type='kvm'>", "domain", line: 1, "not closed"),
    .init("<domain type='kvm'>\n<name>a</nam>", "domain/name", line: 2, "closes"),
    .init("<!DOCTYPE domain [<!ENTITY a 'b'>]>\n<domain/>", "", line: 1, "document type"),
    .init("<domain type='kvm'>&xxe;</domain>", "domain", line: 1, "'&xxe;' is not allowed"),
    .init("<domain type='kvm'>&#0;</domain>", "domain", line: 1, "not allowed"),
    .init("<domain type='kvm' type='kvm'/>", "domain", line: 1, "twice"),
    .init("<domain type='kvm'><?php ?></domain>", "domain", line: 1, "processing instructions"),
    .init("<domain type='kvm'><q:x/></domain>", "domain/q:x", line: 1, "not declared"),
    .init("<domain type='kvm'/><domain/>", "", line: 1, "after the end"),
    .init("<domain type='kvm'>\u{1}</domain>", "domain", line: 1, "control characters"),
    .init("<?xml version='1.0' encoding='latin1'?>\n<domain/>", "", line: 1, "UTF-8"),
    .init("<domain type='lxc'/>", "domain", "type", line: 1, "not supported"),
  ]

  @Test(arguments: domains + devices + documents)
  func isRefusedByElementAndLine(refusal: Refusal) throws {
    let error = try #require(throws: DomainError.self) { try Domain(xml: refusal.xml) }
    #expect(error.element == refusal.element)
    #expect(error.attribute == refusal.attribute)
    #expect(error.line == refusal.line)
    #expect(error.description.contains(refusal.words), "\(error)")
  }

  @Test func tooMuchIsRefused() {
    let padding = String(repeating: " ", count: 1 << 20)
    #expect(throws: DomainError.self) { try Domain(xml: Samples.domain(extra: padding)) }
  }

  @Test(arguments: ["<!-- a -- b -->", "<!----->", "<!--->", "<!-- a --->"])
  func aCommentThatOtherReadersRefuseIsRefused(comment: String) {
    #expect(throws: DomainError.self) { try Domain(xml: comment + Samples.domain()) }
    #expect(throws: Never.self) { try Domain(xml: "<!-- a - b -->" + Samples.domain()) }
  }

  @Test func tooDeepIsRefused() {
    let text = String(repeating: "<a>", count: 100_000)
    #expect(throws: DomainError.self) { try Domain(xml: text) }
  }

  @Test func everyCutOfADefinitionIsRefusedAndNeverTraps() {
    let bytes = Array(Samples.whole.utf8)
    for count in 0..<bytes.count - 1 {
      #expect(throws: DomainError.self) { try Domain(xml: String(decoding: bytes[..<count], as: UTF8.self)) }
    }
  }

  @Test func everyChangedByteIsReadOrRefusedAndNeverTraps() {
    let bytes = Array(Samples.whole.utf8)
    let replacements: [UInt8] = [0x00, 0x22, 0x26, 0x3C, 0x3E, 0x39, 0xFF]
    for index in bytes.indices {
      var changed = bytes
      changed[index] = replacements[index % replacements.count]
      _ = try? Domain(xml: String(decoding: changed, as: UTF8.self))
    }
  }
}
