import DomainXML
import FuzzSupport

/// Definitions of virtual machines in libvirt's XML.
@main enum DomainXMLFuzzer: Fuzzer {
  private static let devices = """
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='volume' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>
    <source pool='ftvs' volume='a'/><target dev='vda' bus='virtio'/><serial>abc</serial><readonly/></disk>
    <controller type='pci' index='0' model='pci-root'/>
    <interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
    <serial type='pty'><target type='isa-serial' port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <video><model type='none'/></video><memballoon model='none'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    """

  static func seeds() -> [[UInt8]] {
    let head = "<?xml version='1.0' encoding='UTF-8'?><!-- a -->"
    let texts = [
      "<domain type='kvm'><name>a</name><memory unit='MiB'>128</memory><os><type>hvm</type></os></domain>",
      head + """
        <domain type='qemu'><name>a</name><uuid>6F1C9C1E-7c1f-4f8a-9c53-2f7d1c2f9a10</uuid><title>b &lt;&#x41;&#66;</title>
        <metadata><ftvs:vm xmlns:ftvs='urn:ftvs:domain:1'><ftvs:protection level='restart'/>
        <ftvs:forward protocol='tcp' host='127.0.0.1:7000' guest='7000'/></ftvs:vm></metadata>
        <memory unit='GB'>1</memory><currentMemory unit='KiB'>131072</currentMemory><vcpu placement='static'>2</vcpu>
        <os><type arch='x86_64' machine='pc'>hvm</type><kernel>/k</kernel><initrd>/i</initrd><cmdline>c</cmdline>
        <boot dev='hd'/></os><features><acpi/><apic/></features>
        <cpu mode='host-passthrough'><topology sockets='1' cores='2' threads='1'/></cpu><clock offset='utc'/>
        <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>restart</on_crash>
        <devices>\(devices)</devices></domain>
        """,
      "<domain type='kvm'><name><![CDATA[a]]></name><memory>9223372036854775807</memory></domain>",
      "<!DOCTYPE a><a xmlns='u' x:b='1'>&amp;<?pi?></a>",
    ]
    return texts.map { Array($0.utf8) }
  }

  static func test(_ input: [UInt8]) throws {
    let text = String(decoding: input, as: UTF8.self)
    let domain = try Domain(xml: text)
    require(domain.memoryBytes > 0 && domain.topology.cpus > 0, "a domain has memory and processors")
    let uuid = "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10"
    let addresses = domain.interfaces.indices.map { "52:54:00:00:0\($0):01" }
    let filled = try DefinitionText.filled(text, uuid: uuid, addresses: addresses)
    // An address may be one that the definition gives to another interface.
    guard let after = try? Domain(xml: filled) else { return }
    require(
      after.uuid == domain.uuid ?? uuid && after.disks.count == domain.disks.count, "only what was missing is new")
    let again = try DefinitionText.filled(filled, uuid: uuid, addresses: addresses)
    require(again == filled, "nothing is filled in twice")
  }
}
