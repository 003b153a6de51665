import DomainXML
import HostConfiguration
import Primitives
import RPC

/// Builds the command line of QEMU 7.2 and newer for a guest.
struct QEMUArguments {
  /// How processors are run: what the host's configuration says, or the best that there is.
  enum Accelerator: String, Sendable, Equatable { case kvm, tcg }

  let plan: GuestPlan
  let files: GuestFiles
  let program: String
  let accelerator: Accelerator?

  /// Seconds for which QEMU holds a guest's I/O back while the NBD server is away before it counts as an error.
  static let reconnectSeconds = 3600
  /// Seconds that QEMU waits for the NBD server at its start.
  static let openSeconds = 10

  /// The file that `ftvs-guest` reads: strings, each followed by a NUL.
  var file: [UInt8] {
    (["ftvs-guest-1", program] + words).flatMap { Array($0.utf8) + [0] }
  }

  /// The arguments, without the program.
  var words: [String] {
    let domain = plan.domain
    var words = ["-name", "guest=\(domain.name),debug-threads=on", "-uuid", plan.uuid]
    words += ["-machine", "\(domain.boot.machine.rawValue),usb=off,vmport=off,dump-guest-core=off"]
    words += acceleration + ["-cpu", model] + processors
    words += ["-m", "size=\(memoryKiB)k"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-msg", "timestamp=on,guest-name=on"]
    words += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    words += ["-rtc", "base=\(domain.clock.rawValue)", "-pidfile", files.process]
    if domain.onReboot == .destroy { words += ["-action", "reboot=shutdown"] }
    words += ["-chardev", "socket,id=control,path=\(Self.escaped(files.control)),server=on,wait=off"]
    words += ["-mon", "chardev=control,mode=control"]
    // Waits for the monitor's word: a start that was cut off is seen as such by whoever takes over.
    words += ["-S"]
    if plan.isRestored { words += ["-incoming", "defer"] }
    return words + bootWords + serialWords + diskWords + networkWords + randomWords
  }

  private var acceleration: [String] {
    switch plan.domain.isEmulated ? .tcg : accelerator {
    case .kvm: ["-accel", "kvm"]
    case .tcg: ["-accel", "tcg,thread=multi"]
    // QEMU itself takes the next one when the first is not to be had.
    case nil: ["-accel", "kvm", "-accel", "tcg,thread=multi"]
    }
  }

  /// `max` is the host's processor under KVM, and all that QEMU can emulate otherwise.
  private var model: String {
    switch plan.domain.processor {
    case .best, .host: "max"
    case .model(let name): name
    }
  }

  private var processors: [String] {
    let topology = plan.domain.topology
    return [
      "-smp",
      "\(topology.cpus),sockets=\(topology.sockets),cores=\(topology.cores),threads=\(topology.threads)",
    ]
  }

  /// Memory in KiB, never a multiple of 256 KiB: at those sizes QEMU 7.2 without KVM loses dirty pages when memory is
  /// tracked, and a guest that is moved to the other module dies.
  private var memoryKiB: Int64 {
    let size = plan.domain.memoryBytes / 1024
    return size % 256 == 0 ? size + 8 : size
  }

  private var bootWords: [String] {
    let boot = plan.domain.boot
    var words: [String] = []
    if let kernel = boot.kernel { words += ["-kernel", kernel] }
    if let initialRAMDisk = boot.initialRAMDisk { words += ["-initrd", initialRAMDisk] }
    if let commandLine = boot.commandLine { words += ["-append", commandLine] }
    return words
  }

  private var serialWords: [String] {
    guard plan.domain.hasSerialPort else { return [] }
    return [
      "-chardev", "socket,id=serial0,path=\(Self.escaped(files.console)),server=on,wait=off",
      "-device", "isa-serial,id=ttyS0,chardev=serial0",
    ]
  }

  private var diskWords: [String] {
    var words: [String] = []
    for (index, disk) in plan.disks.enumerated() {
      let node = "disk\(index)"
      let server: JSONValue = ["type": "unix", "path": .string(disk.socketPath)]
      let blockdev: JSONValue = [
        "driver": "nbd", "node-name": .string(node), "server": server, "export": .string(disk.exportName),
        "reconnect-delay": .integer(Int64(Self.reconnectSeconds)), "open-timeout": .integer(Int64(Self.openSeconds)),
        "read-only": .bool(disk.disk.isReadOnly),
        "discard": .string(disk.disk.passesDiscard ? "unmap" : "ignore"),
        "cache": ["direct": true, "no-flush": false],
      ]
      var device = "virtio-blk-pci,id=\(disk.disk.target),drive=\(node)"
      // An I/O error stops the guest where it is; it never sees the error, and goes on when the cause is repaired.
      device += ",write-cache=\(disk.disk.hasWriteCache ? "on" : "off"),werror=stop,rerror=stop"
      if let serial = disk.disk.serial { device += ",serial=\(Self.escaped(serial))" }
      if plan.domain.boot.kernel == nil { device += ",bootindex=\(index + 1)" }
      words += ["-blockdev", JSON.text(blockdev), "-device", device]
    }
    return words
  }

  private var networkWords: [String] {
    var words: [String] = []
    for (index, interface) in plan.domain.interfaces.enumerated() {
      var network = "user,id=net\(index)"
      for forward in index == 0 ? plan.domain.forwards : [] {
        network += ",hostfwd=\(forward.transport.rawValue):\(forward.hostAddress):\(forward.hostPort)-"
        network += ":\(forward.guestPort)"
      }
      let mac = interface.mac ?? Self.mac(uuid: plan.uuid, index: index)
      words += ["-netdev", network, "-device", "virtio-net-pci,id=nic\(index),netdev=net\(index),mac=\(mac),romfile="]
    }
    return words
  }

  private var randomWords: [String] {
    guard plan.domain.hasRandomSource else { return [] }
    return ["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,id=rngdev0,rng=rng0"]
  }

  /// An address in QEMU's range that is the same at every start: three bytes of a hash over UUID and index (FNV-1a).
  static func mac(uuid: String, index: Int) -> String {
    var hash: UInt32 = 2_166_136_261
    for byte in Array(uuid.utf8) + Array("/\(index)".utf8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let bytes = [hash >> 16, hash >> 8, hash].map { UInt8(truncatingIfNeeded: $0) }
    return "52:54:00:" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }

  /// A value inside a comma-separated option: QEMU takes a doubled comma for one.
  private static func escaped(_ value: String) -> String {
    value.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
  }
}
