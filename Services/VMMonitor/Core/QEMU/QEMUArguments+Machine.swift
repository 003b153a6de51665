import DomainXML
import RPC

/// The machine, its processors, firmware and clocks.
extension QEMUArguments {
  var machine: String {
    var machine = "\(domain.boot.machine.rawValue),usb=off,vmport=off,dump-guest-core=off"
    if plan.sharedMemory != nil { machine += ",memory-backend=\(Self.memoryName)" }
    if let hpet = domain.clock.hasHPET { machine += ",hpet=\(hpet ? "on" : "off")" }
    if let uefi = domain.boot.firmware.uefi {
      machine += ",pflash0=firmware,pflash1=variables"
      if uefi.isSecure { machine += ",smm=on" }
    }
    return machine
  }

  var acceleration: [String] {
    switch domain.isEmulated ? .tcg : accelerator {
    case .kvm: ["-accel", "kvm"]
    case .tcg: ["-accel", "tcg,thread=multi"]
    // QEMU itself takes the next one when the first is not to be had.
    case nil: ["-accel", "kvm", "-accel", "tcg,thread=multi"]
    }
  }

  /// `max` is the host's processor under KVM, and all that QEMU can emulate otherwise.
  var processor: String {
    var words: [String] =
      switch domain.processor.model {
      case .best, .host: ["max"]
      case .named(let name): [name]
      }
    words += domain.processor.features.map { "\($0.name)=\($0.isOn ? "on" : "off")" }
    if domain.clock.hasKVMClock == false { words.append("kvmclock=off") }
    if domain.processor.isEnforced { words.append("enforce") }
    return words.joined(separator: ",")
  }

  var processors: [String] {
    let topology = domain.topology
    return [
      "-smp",
      "\(topology.cpus),sockets=\(topology.sockets),dies=\(topology.dies),cores=\(topology.cores),"
        + "threads=\(topology.threads)",
    ]
  }

  var clockWords: [String] {
    let clock = domain.clock
    let drift = clock.rtc.map { ",driftfix=\($0 == .catchup ? "slew" : "none")" } ?? ""
    let words = ["-rtc", "base=\(clock.offset.rawValue)\(drift)"]
    return words + (clock.pit.map { ["-global", "kvm-pit.lost_tick_policy=\($0.rawValue)"] } ?? [])
  }

  var bootWords: [String] {
    let boot = domain.boot
    var words = firmwareWords
    if let kernel = boot.kernel { words += ["-kernel", kernel] }
    if let initialRAMDisk = boot.initialRAMDisk { words += ["-initrd", initialRAMDisk] }
    if let commandLine = boot.commandLine { words += ["-append", commandLine] }
    var options: [String] = []
    if let menu = boot.menu {
      options.append("menu=on")
      if let time = menu.milliseconds { options.append("splash-time=\(time)") }
    }
    // Nothing is booted that the definition does not list.
    if BootIndexes.isGiven(domain) { options.append("strict=on") }
    return options.isEmpty ? words : words + ["-boot", options.joined(separator: ",")]
  }

  private var firmwareWords: [String] {
    switch domain.boot.firmware {
    case .bios(let path): return path.map { ["-bios", $0] } ?? []
    case .uefi(let uefi):
      let file: JSONValue = [
        "driver": "file", "node-name": "firmware-file", "filename": .string(uefi.code), "read-only": true,
      ]
      let code: JSONValue = ["driver": "raw", "node-name": "firmware", "file": "firmware-file", "read-only": true]
      var words = ["-blockdev", JSON.text(file), "-blockdev", JSON.text(code)]
      if let export = plan.variables {
        words += ["-blockdev", JSON.text(network(export, node: "variables", isReadOnly: false, passesDiscard: false))]
      }
      guard uefi.isSecure else { return words }
      return words + [
        "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1",
      ]
    }
  }
}

/// The firmware's order of devices.
struct BootIndexes {
  private var disks: [String: Int] = [:]
  private var interfaces: [Int: Int] = [:]

  /// Whether the definition gives an order.
  static func isGiven(_ domain: Domain) -> Bool {
    !domain.boot.order.isEmpty || domain.disks.contains { $0.bootOrder != nil }
      || domain.interfaces.contains { $0.bootOrder != nil }
  }

  init(_ domain: Domain) {
    for disk in domain.disks { disks[disk.target] = disk.bootOrder }
    for (index, interface) in domain.interfaces.enumerated() { interfaces[index] = interface.bootOrder }
    guard disks.isEmpty, interfaces.isEmpty else { return }
    guard !domain.boot.order.isEmpty || domain.boot.kernel == nil else { return }
    var next = 1
    for kind in domain.boot.order.isEmpty ? [.hd, .cdrom] : domain.boot.order {
      switch kind {
      case .network:
        for index in domain.interfaces.indices {
          interfaces[index] = next
          next += 1
        }
      case .hd, .cdrom, .fd:
        let wanted: Domain.Disk.Kind = kind == .hd ? .disk : kind == .cdrom ? .cdrom : .floppy
        for disk in domain.disks where disk.kind == wanted {
          disks[disk.target] = next
          next += 1
        }
      }
    }
  }

  func of(disk target: String) -> Int? { disks[target] }
  func of(interface index: Int) -> Int? { interfaces[index] }
}
