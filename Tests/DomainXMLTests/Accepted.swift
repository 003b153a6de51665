import DomainXML

/// Definitions with one part each of what this host honours. libvirt's schema judges them, and QEMU runs them.
enum Accepted {
  static func os(_ inside: String, machine: String = "q35", attributes: String = "") -> String {
    "<os\(attributes)><type arch='x86_64' machine='\(machine)'>hvm</type>\(inside)</os>"
  }

  static func drive(_ device: String, _ target: String, _ bus: String, volume: String? = nil, extra: String = "")
    -> String
  {
    let source = volume.map { "<source pool='ftvs' volume='\($0)'/>" } ?? ""
    return "<disk type='volume' device='\(device)'>\(source)<target dev='\(target)' bus='\(bus)'/>\(extra)</disk>"
  }

  static let scsi = "<controller type='scsi' index='0' model='virtio-scsi'/>"
  static let vnc = "<graphics type='vnc'><listen type='socket'/></graphics>"

  static let firmware: [String] = [
    Samples.domain(os: os("", attributes: " firmware='efi'")),
    Samples.domain(os: os("", attributes: " firmware='bios'")),
    Samples.domain(os: os("<loader type='rom'>/usr/share/seabios/bios-256k.bin</loader>")),
    Samples.domain(
      os: os(
        "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
          + "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd' type='volume'><source pool='ftvs' volume='vars'/></nvram>"
      )),
    Samples.domain(
      os: os(
        "<loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader><nvram/>")),
    Samples.domain(
      os: os("<boot dev='cdrom'/><boot dev='hd'/><boot dev='network'/><bootmenu enable='yes' timeout='3000'/>"),
      devices: Samples.disk() + drive("cdrom", "sda", "sata") + "<interface type='user'/>"),
  ]

  static let processors: [String] = [
    Samples.domain(extra: "<vcpu>4</vcpu><cpu><topology sockets='1' cores='2' threads='2'/></cpu>"),
    Samples.domain(
      extra: "<vcpu placement='static'>4</vcpu><cpu><topology sockets='1' dies='2' cores='2' threads='1'/></cpu>"),
    Samples.domain(
      extra:
        "<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model><feature policy='disable' name='svm'/></cpu>"
    ),
    Samples.domain(extra: "<cpu mode='maximum' check='full'><feature policy='require' name='sse4.2'/></cpu>"),
    Samples.domain(extra: "<cpu mode='host-model'><feature policy='optional' name='aes'/></cpu>"),
    Samples.domain(
      extra:
        "<clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>"
        + "<timer name='hpet' present='no'/><timer name='kvmclock' present='no'/></clock>"),
    Samples.domain(
      extra: "<features><acpi/><apic/><pae/><vmport state='off'/></features><on_poweroff>destroy</on_poweroff>"
        + "<on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>"),
  ]

  static let devices: [String] = [
    Samples.domain(
      os: os("", machine: "pc"),
      devices: drive("disk", "hda", "ide", volume: "a") + drive("cdrom", "hdd", "ide")
        + drive("disk", "sda", "sata", volume: "b", extra: "<serial>b1</serial><boot order='2'/>")
        + drive("floppy", "fda", "fdc", volume: "c") + drive("floppy", "fdb", "fdc")),
    Samples.domain(
      devices: scsi + drive("disk", "sda", "scsi", volume: "a", extra: "<readonly/>")
        + drive("cdrom", "sdb", "scsi", volume: "b", extra: "<boot order='1'/>") + drive("cdrom", "sdc", "sata")
        + drive("floppy", "fda", "fdc")),
    Samples.domain(
      devices: ["virtio", "e1000", "e1000e"].map {
        "<interface type='user'><model type='\($0)'/></interface>"
      }.joined() + "<interface type='user'><model type='e1000'/><boot order='1'/></interface>"),
    Samples.domain(devices: "<console type='pty'><target type='virtio' port='0'/></console>"),
    Samples.domain(
      devices: "<graphics type='vnc' keymap='de'><listen type='socket'/></graphics>"
        + "<video><model type='vga' vram='16384' heads='1' primary='yes'/></video>"
        + "<input type='tablet' bus='usb'/><input type='keyboard' bus='usb'/><input type='mouse' bus='ps2'/>"
        + "<input type='keyboard' bus='virtio'/><input type='tablet' bus='virtio'/><input type='mouse' bus='virtio'/>"),
    Samples.domain(devices: vnc),
    Samples.domain(
      devices: vnc + "<video><model type='virtio'/></video><input type='mouse' bus='usb'/>"
        + "<controller type='usb' index='0' model='piix3-uhci'/>"),
    Samples.domain(devices: vnc + "<video><model type='cirrus'/></video>"),
    Samples.domain(devices: vnc + "<video><model type='bochs'/></video>"),
    Samples.domain(
      devices: "<watchdog model='i6300esb' action='inject-nmi'/><panic model='isa'/>"
        + "<rng model='virtio'><rate bytes='1024' period='2000'/><backend model='random'>/dev/urandom</backend></rng>"),
    Samples.domain(
      extra: "<currentMemory unit='MiB'>96</currentMemory>",
      devices: "<memballoon model='virtio' autodeflate='on' freePageReporting='on'/>"),
    Samples.domain(extra: "<on_reboot>destroy</on_reboot>", devices: "<watchdog model='i6300esb' action='poweroff'/>"),
    Samples.domain(
      devices: "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
  ]

  static let settings: [String] = [
    Samples.domain(extra: Samples.metadata("<f:protection level='none'/>")),
    Samples.domain(
      extra: Samples.metadata(
        "<f:vm><f:protection level='restart'/><f:restart priority='9'/><f:module preferred='cpu1'/><f:undo policy='ask'/></f:vm>"
      )),
    Samples.domain(
      extra: Samples.metadata("<f:vm><f:forward protocol='udp' host='127.0.0.1:53' guest='53'/></f:vm>"),
      devices: "<interface type='user'/>"),
  ]

  static let all = [Samples.whole, Samples.domain()] + firmware + processors + devices + settings
}
