import DomainXML
import Foundation
import HostConfiguration
import Primitives
import RPC
import Testing

@testable import VMMonitorCore

/// A definition, and the devices that QEMU must have of it.
struct DeviceCase: Sendable, CustomTestStringConvertible {
  var testDescription: String
  var machine = "q35"
  var os = ""
  var osAttributes = ""
  var extra = ""
  var devices = ""
  /// Identifiers of devices beside those of disks.
  var identifiers: Set<String>
  /// Drives, with what is in them.
  var drives: [String: Bool] = [:]

  var xml: String {
    """
    <domain type='qemu'><name>devices</name><memory unit='MiB'>64</memory>\(extra)
    <os\(osAttributes)><type arch='x86_64' machine='\(machine)'>hvm</type>\(os)</os><devices>\(devices)</devices></domain>
    """
  }

  static func drive(_ device: String, _ target: String, _ bus: String, hasMedium: Bool = true, _ extra: String = "")
    -> String
  {
    let source = hasMedium ? "<source pool='ftvs' volume='\(target)'/>" : ""
    return "<disk type='volume' device='\(device)'>\(source)<target dev='\(target)' bus='\(bus)'/>\(extra)</disk>"
  }

  static let agent =
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"

  static let all = [
    DeviceCase(
      testDescription: "disks of a PC", machine: "pc",
      devices: drive("disk", "hda", "ide") + drive("cdrom", "hdd", "ide", hasMedium: false)
        + drive("disk", "sda", "sata", "<serial>b1</serial>") + drive("floppy", "fda", "fdc")
        + drive("floppy", "fdb", "fdc", hasMedium: false),
      identifiers: ["sata0"], drives: ["hda": true, "hdd": false, "sda": true, "fda": true, "fdb": false]),
    DeviceCase(
      testDescription: "disks of a Q35",
      os: "<boot dev='cdrom'/><boot dev='hd'/><bootmenu enable='yes' timeout='3000'/>",
      devices: "<controller type='scsi' model='virtio-scsi'/>" + drive("disk", "vda", "virtio", "<readonly/>")
        + drive("disk", "sda", "scsi", "<readonly/>") + drive("cdrom", "sdb", "scsi") + drive("disk", "sdc", "sata")
        + drive("cdrom", "sdf", "sata", hasMedium: false) + drive("floppy", "fda", "fdc"),
      identifiers: ["scsi0", "fdc0"],
      drives: ["vda": true, "sda": true, "sdb": true, "sdc": true, "sdf": false, "fda": true]),
    DeviceCase(
      testDescription: "UEFI, network boot, a virtio console", osAttributes: " firmware='efi'",
      devices: "<interface type='user'><model type='virtio'/><boot order='1'/></interface>"
        + "<interface type='user'><model type='e1000'/></interface>"
        + "<interface type='user'><model type='e1000e'/></interface>"
        + "<console type='pty'><target type='virtio'/></console>",
      identifiers: ["nic0", "nic1", "nic2", "virtio-serial0", "hvc0"]),
    DeviceCase(
      testDescription: "secure UEFI",
      os: "<loader type='pflash' readonly='yes' secure='yes'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader>",
      identifiers: []),
    DeviceCase(
      testDescription: "a screen with inputs, a balloon, a watchdog",
      extra: "<currentMemory unit='MiB'>48</currentMemory><on_reboot>destroy</on_reboot>",
      devices: "<graphics type='vnc' keymap='de'><listen type='socket'/></graphics>"
        + "<video><model type='vga' vram='16384'/></video><input type='tablet' bus='usb'/>"
        + "<input type='keyboard' bus='usb'/><input type='mouse' bus='virtio'/><input type='keyboard' bus='virtio'/>"
        + "<input type='tablet' bus='virtio'/><memballoon model='virtio' autodeflate='on' freePageReporting='on'/>"
        + "<watchdog model='i6300esb' action='inject-nmi'/><panic model='isa'/>"
        + "<rng model='virtio'><rate bytes='1024' period='2000'/><backend model='random'/></rng>",
      identifiers: [
        "video0", "usb", "input0", "input1", "input2", "input3", "input4", "balloon0", "watchdog0", "panic0", "rngdev0",
      ]),
    DeviceCase(
      testDescription: "an agent beside a serial port", devices: "<serial type='pty'/>" + agent,
      identifiers: ["ttyS0", "virtio-serial0", "agent0"]),
    DeviceCase(
      testDescription: "an agent beside a virtio console",
      devices: "<console type='pty'><target type='virtio'/></console>" + agent,
      identifiers: ["hvc0", "virtio-serial0", "agent0"]),
    DeviceCase(
      testDescription: "processors and clocks", machine: "pc",
      extra: "<vcpu>8</vcpu><cpu mode='maximum' check='full'><topology sockets='1' dies='2' cores='4' threads='1'/>"
        + "<feature policy='require' name='sse4.2'/><feature policy='disable' name='avx'/></cpu>"
        + "<clock offset='localtime'><timer name='rtc' tickpolicy='catchup'/><timer name='pit' tickpolicy='delay'/>"
        + "<timer name='hpet' present='no'/><timer name='kvmclock' present='no'/></clock>",
      devices: "<video><model type='virtio'/></video><input type='tablet'/>"
        + "<controller type='usb' model='piix3-uhci'/><serial type='pty'/>",
      identifiers: ["video0", "usb", "input0", "ttyS0"]),
    DeviceCase(
      testDescription: "other video cards, an image of the BIOS",
      os: "<loader type='rom'>/usr/share/seabios/bios-256k.bin</loader>",
      devices: "<graphics type='vnc'><listen type='socket'/></graphics><video><model type='bochs'/></video>",
      identifiers: ["video0"]),
  ]
}

/// Each part of a definition, on a real QEMU that never runs a guest.
@Suite(.timeLimit(.minutes(1))) struct QEMUDevicesTests {
  static let needs = ["/usr/bin/qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/sbin/nbdkit"]
  static let isInstalled = needs.allSatisfy { path in
    [path, path.replacing("/sbin/", with: "/bin/")].contains { FileManager.default.fileExists(atPath: $0) }
  }

  @Test(.enabled(if: isInstalled, "install qemu-system-x86, ovmf and nbdkit"), arguments: DeviceCase.all)
  func whatADefinitionSaysIsThere(example: DeviceCase) async throws {
    let bench = try Bench()
    defer { withExtendedLifetime(bench) {} }
    let domain = try Domain(xml: example.xml)
    let disks = try NBDServer(directory: bench.directory, name: "disks", bytes: 1_474_560)
    let flash = try NBDServer(directory: bench.directory, name: "flash", bytes: 540_672)
    defer { for server in [disks, flash] { server.end() } }
    var configuration = bench.configuration
    configuration.accelerator = "tcg"
    let engine = try #require(QEMUEngine(configuration))
    let plan = GuestPlan(
      domain: domain, uuid: "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10", slot: 0, module: .cpu0,
      disks: domain.disks.filter { $0.volume != nil }.map {
        .init(disk: $0, exportName: "\($0.target).1", socketPath: disks.socket)
      },
      variables: domain.boot.firmware.uefi.map { _ in .init(name: "vars.1", socketPath: flash.socket) })
    try await engine.prepare(plan)
    let files = GuestFiles(HostPaths(configuration), slot: 0, module: .cpu0)
    let process = Process()
    process.executableURL = QEMUSmokeTests.launcher
    process.arguments = [files.arguments]
    try process.run()
    defer {
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      process.waitUntilExit()
    }
    let reactor = try #require(SocketReactor.shared)
    let client = try await QMPClient.connect(
      path: files.control, reactor: reactor, patience: .seconds(20), answerTime: .seconds(20))
    defer { client.close() }
    #expect(try await identifiers(client) == example.identifiers.union(example.drives.keys))
    #expect(try await drives(client) == example.drives)
    if domain.devices.graphics != nil {
      let vnc = try await client.execute("query-vnc")
      #expect(vnc["enabled"] == true && vnc["service"] == .string(files.screen), "\(vnc)")
    }
    if let bytes = domain.memory.currentBytes {
      let instance = QEMUInstance(client, engine: "qemu/tcg")
      try await instance.setMemory(bytes: bytes)
    }
  }

  private func identifiers(_ client: QMPClient) async throws -> Set<String> {
    let list = try await client.execute("qom-list", ["path": "/machine/peripheral"])
    guard case .array(let entries) = list else { return [] }
    return Set(entries.compactMap { $0["type"]?.string?.hasPrefix("child<") == true ? $0["name"]?.string : nil })
  }

  private func drives(_ client: QMPClient) async throws -> [String: Bool] {
    guard case .array(let entries) = try await client.execute("query-block") else { return [:] }
    var drives: [String: Bool] = [:]
    for entry in entries {
      // A virtio disk's is /machine/peripheral/vda/virtio-backend.
      let path = entry["qdev"]?.string?.split(separator: "/").map(String.init) ?? []
      guard let name = path.last(where: DeviceCase.isTarget) else { continue }
      drives[name] = entry["inserted"] != nil
    }
    return drives
  }
}

extension DeviceCase {
  static func isTarget(_ name: String) -> Bool { ["vd", "sd", "hd", "fd"].contains(name.prefix(2)) && name.count == 3 }
}

/// A server of zeros under every name.
private struct NBDServer {
  let socket: String
  private let process = Process()

  init(directory: String, name: String, bytes: Int) throws {
    socket = "\(directory)/\(name).sock"
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["nbdkit", "--foreground", "--exit-with-parent", "-U", socket, "null", "size=\(bytes)"]
    process.standardError = FileHandle.nullDevice
    try process.run()
    let deadline = Date().addingTimeInterval(10)
    while !FileManager.default.fileExists(atPath: socket), Date() < deadline { usleep(2000) }
  }

  func end() {
    // The threads of tests block signals, and so do their children.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }
}
