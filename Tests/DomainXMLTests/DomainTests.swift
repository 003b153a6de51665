import DomainXML
import Primitives
import Testing

@Suite struct DomainTests {
  @Test func aWholeDefinitionIsRead() throws {
    let domain = try Domain(xml: Samples.whole)
    #expect(domain.name.rawValue == "counter")
    #expect(domain.uuid == "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10")
    #expect(domain.memoryBytes == 128 << 20)
    #expect(domain.topology.cpus == 2)
    #expect(domain.boot.machine == .pc)
    #expect(domain.boot.kernel == "/boot/vmlinux")
    #expect(domain.boot.commandLine == "console=ttyS0 quiet")
    #expect(domain.disks.map(\.target) == ["vda", "vdb"])
    #expect(domain.disks[0].hasWriteCache && !domain.disks[1].hasWriteCache)
    #expect(domain.disks[1].isReadOnly)
    #expect(domain.settings.forwards.map(\.hostPort) == [7000])
    #expect(domain.settings.forwards.first?.hostAddress == "127.0.0.1")
    #expect(domain.devices.hasSerialPort && domain.devices.hasRandomSource)
    #expect(domain.protection == .restart)
    #expect(domain.onCrash == .restart)
  }

  @Test func theShortestDefinitionGetsDefaults() throws {
    let domain = try Domain(xml: Samples.domain())
    #expect(domain.topology.cpus == 1)
    #expect(domain.boot.machine == .q35)
    #expect(domain.protection == .restart)
    #expect(domain.processor.model == .best)
    #expect(domain.uuid == nil)
    #expect(!domain.isEmulated)
  }

  @Test(arguments: [
    ("<memory>131072</memory>", 128 << 20), ("<memory unit='MiB'>128</memory>", 128 << 20),
    ("<memory unit='GiB'>2</memory>", 2 << 30), ("<memory unit='bytes'>1048577</memory>", (1 << 20) + 1024),
    ("<memory unit='MB'>128</memory>", 128_000_000),
  ])
  func memoryIsReadInItsUnit(text: String, bytes: Int) throws {
    #expect(try Domain(xml: Samples.domain(memory: text)).memoryBytes == Int64(bytes))
  }

  @Test func protectionIsRead() throws {
    let text = Samples.domain(extra: Samples.metadata("<f:protection level='none'/>"))
    #expect(try Domain(xml: text).protection == .none)
  }

  @Test func aPreferredModuleIsRead() throws {
    let text = Samples.domain(extra: Samples.metadata("<f:module preferred='cpu1'/>"))
    #expect(try Domain(xml: text).settings.preferredModule == .cpu1)
  }

  @Test func theVariablesOfUEFIAreAVolumeOfItsOwn() throws {
    let domain = try Domain(xml: Accepted.firmware[0])
    #expect(domain.boot.firmware.uefi?.variables == VolumeName(unchecked: "a-nvram"))
    #expect(domain.volumes == [VolumeName(unchecked: "a-nvram")])
  }

  @Test func aTargetSaysTheUnit() throws {
    let disks = try Domain(xml: Accepted.devices[0]).disks
    #expect(disks.map(\.unit) == [0, 3, 0, 0, 1])
    #expect(disks.map { $0.volume?.rawValue } == ["a", nil, "b", "c", nil])
  }

  @Test func settingsStandInOneElementOrByThemselves() throws {
    let wrapped = "<metadata><f:vm xmlns:f='\(Domain.namespace)'><f:protection level='none'/></f:vm></metadata>"
    #expect(try Domain(xml: Samples.domain(extra: wrapped)).protection == .none)
  }

  @Test func metadataOfOthersIsLeftAlone() throws {
    let foreign =
      "<metadata><o:os xmlns:o='http://libosinfo.org/xmlns/libvirt/domain/1.0'><o:x id='1'/></o:os></metadata>"
    #expect(try Domain(xml: Samples.domain(extra: foreign)).protection == .restart)
  }

  @Test func referencesAndCDATAAreText() throws {
    let text = Samples.domain(
      os: "<os><type>hvm</type><kernel>/k</kernel><cmdline>a=&quot;&#x41;&amp;<![CDATA[<b>]]></cmdline></os>")
    #expect(try Domain(xml: text).boot.commandLine == "a=\"A&<b>")
  }

  @Test func aTopologyMustGiveTheProcessors() throws {
    let good = Samples.domain(extra: "<vcpu>4</vcpu><cpu><topology sockets='1' cores='2' threads='2'/></cpu>")
    let topology = try Domain(xml: good).topology
    #expect([topology.sockets, topology.cores, topology.threads] == [1, 2, 2])
    let bad = Samples.domain(extra: "<vcpu>4</vcpu><cpu><topology sockets='1' cores='2' threads='1'/></cpu>")
    #expect(throws: DomainError.self) { try Domain(xml: bad) }
  }
}

enum Samples {
  static let whole = """
    <?xml version='1.0' encoding='UTF-8'?>
    <!-- a comment -->
    <domain type='kvm'>
      <name>counter</name>
      <uuid>6F1C9C1E-7c1f-4f8a-9c53-2f7d1c2f9a10</uuid>
      <title>Counts</title>
      <description>A guest
        that counts.</description>
      <metadata>
        <ftvs:vm xmlns:ftvs='urn:ftvs:domain:1'>
          <ftvs:protection level='restart'/>
          <ftvs:forward protocol='tcp' host='127.0.0.1:7000' guest='7000'/>
        </ftvs:vm>
      </metadata>
      <memory unit='MiB'>128</memory>
      <currentMemory unit='KiB'>131072</currentMemory>
      <vcpu placement='static'>2</vcpu>
      <os>
        <type arch='x86_64' machine='pc'>hvm</type>
        <kernel>/boot/vmlinux</kernel>
        <initrd>/boot/initrd</initrd>
        <cmdline>console=ttyS0 quiet</cmdline>
        <boot dev='hd'/>
      </os>
      <features><acpi/><apic/></features>
      <cpu mode='host-passthrough'/>
      <clock offset='utc'/>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>restart</on_crash>
      <devices>
        <emulator>/usr/bin/qemu-system-x86_64</emulator>
        <disk type='volume' device='disk'>
          <driver name='qemu' type='raw' cache='none' discard='unmap'/>
          <source pool='ftvs' volume='counter'/>
          <target dev='vda' bus='virtio'/>
          <serial>abc</serial>
        </disk>
        <disk type='volume' device='disk'>
          <driver name='qemu' type='raw' cache='writethrough'/>
          <source pool='ftvs' volume='seed'/>
          <target dev='vdb' bus='virtio'/>
          <readonly/>
        </disk>
        <controller type='usb' index='0' model='none'/>
        <controller type='pci' index='0' model='pci-root'/>
        <interface type='user'>
          <mac address='52:54:00:11:22:33'/>
          <model type='virtio'/>
        </interface>
        <serial type='pty'><target type='isa-serial' port='0'/></serial>
        <console type='pty'><target type='serial' port='0'/></console>
        <video><model type='none'/></video>
        <memballoon model='none'/>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
      </devices>
    </domain>
    """

  static func domain(
    name: String = "a", memory: String = "<memory unit='MiB'>128</memory>",
    os: String = "<os><type arch='x86_64'>hvm</type></os>", extra: String = "", devices: String = ""
  ) -> String {
    "<domain type='kvm'>\n<name>\(name)</name>\n\(memory)\n\(os)\n\(extra)\n<devices>\n\(devices)\n</devices>\n</domain>"
  }

  static func metadata(_ text: String) -> String {
    "<metadata xmlns:f='\(Domain.namespace)'>\(text)</metadata>"
  }

  static func disk(_ target: String = "vda", _ volume: String = "v") -> String {
    "<disk type='volume' device='disk'><source pool='ftvs' volume='\(volume)'/><target dev='\(target)' bus='virtio'/></disk>"
  }
}
