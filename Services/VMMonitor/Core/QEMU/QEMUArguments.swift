import DomainXML
import HostConfiguration
import Primitives
import RPC

/// Builds the command line of QEMU 7.2 and newer for a guest.
///
/// Devices get their places on the PCI bus in the order in which they stand here: a new kind comes last, so that a guest
/// finds its devices where they were.
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

  var domain: Domain { plan.domain }

  /// The arguments, without the program.
  var words: [String] {
    var words = ["-name", "guest=\(domain.name),debug-threads=on", "-uuid", plan.uuid]
    words += ["-machine", machine] + acceleration + ["-cpu", processor] + processors
    words += ["-m", "size=\(memoryKiB)k"] + memoryWords
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-msg", "timestamp=on,guest-name=on"]
    words += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    words += clockWords + ["-pidfile", files.process]
    if domain.onReboot == .destroy { words += ["-action", "reboot=shutdown"] }
    words += ["-chardev", "socket,id=control,path=\(Self.escaped(files.control)),server=on,wait=off"]
    words += ["-mon", "chardev=control,mode=control"]
    // Waits for the monitor's word: a start that was cut off is seen as such by whoever takes over.
    words += ["-S"]
    if plan.isRestored { words += ["-incoming", "defer"] }
    words += bootWords + consoleWords + diskWords + networkWords + randomWords
    return words + displayWords + inputWords + balloonWords + watchdogWords + agentWords
  }

  /// Memory in KiB, never a multiple of 256 KiB: at those sizes QEMU 7.2 without KVM loses dirty pages when memory is
  /// tracked, and a guest that is moved to the other module dies.
  var memoryKiB: Int64 {
    let size = domain.memory.bytes / 1024
    return size % 256 == 0 ? size + 8 : size
  }

  /// Name of the main memory in the stream of a guest's state. It is QEMU's own for both machines, so that a guest whose
  /// memory is shared and one whose memory is not take each other's streams.
  static let memoryName = "pc.ram"

  private var memoryWords: [String] {
    guard plan.sharedMemory != nil else { return [] }
    return [
      "-object",
      "memory-backend-file,id=\(Self.memoryName),size=\(memoryKiB)k,mem-path=\(Self.escaped(files.memory)),share=on",
    ]
  }

  // MARK: Console, network

  private var consoleWords: [String] {
    guard let console = domain.devices.console else { return [] }
    let words = ["-chardev", "socket,id=serial0,path=\(Self.escaped(files.console)),server=on,wait=off"]
    switch console {
    case .serial: return words + ["-device", "isa-serial,id=ttyS0,chardev=serial0"]
    case .virtio:
      return words + [
        "-device", "virtio-serial-pci,id=virtio-serial0",
        "-device", "virtconsole,id=hvc0,bus=virtio-serial0.0,chardev=serial0",
      ]
    }
  }

  private var networkWords: [String] {
    let order = BootIndexes(domain)
    var words: [String] = []
    for (index, interface) in domain.interfaces.enumerated() {
      var network = "user,id=net\(index)"
      for forward in index == 0 ? domain.settings.forwards : [] {
        network += ",hostfwd=\(forward.transport.rawValue):\(forward.hostAddress):\(forward.hostPort)-"
        network += ":\(forward.guestPort)"
      }
      let mac = interface.mac ?? MACAddress.drawn(uuid: plan.uuid, index: index)
      let driver =
        switch interface.model {
        case .virtio: "virtio-net-pci"
        case .e1000, .e1000e: interface.model.rawValue
        }
      var device = "\(driver),id=nic\(index),netdev=net\(index),mac=\(mac)"
      // The boot program of a card is there only for who boots from it.
      device += order.of(interface: index).map { ",bootindex=\($0)" } ?? ",romfile="
      words += ["-netdev", network, "-device", device]
    }
    return words
  }

  // MARK: Small devices

  private var randomWords: [String] {
    guard let random = domain.devices.random else { return [] }
    let limit = random.limit.map { ",max-bytes=\($0.bytes),period=\($0.periodMilliseconds)" } ?? ""
    return [
      "-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,id=rngdev0,rng=rng0\(limit)",
    ]
  }

  private var balloonWords: [String] {
    guard let balloon = domain.devices.balloon else { return [] }
    var device = "virtio-balloon-pci,id=balloon0"
    if balloon.deflatesOnOOM { device += ",deflate-on-oom=on" }
    if balloon.reportsFreePages { device += ",free-page-reporting=on" }
    return ["-device", device]
  }

  private var watchdogWords: [String] {
    var words = domain.devices.hasPanicNotifier ? ["-device", "pvpanic,id=panic0"] : []
    if let action = domain.devices.watchdog {
      words += ["-device", "i6300esb,id=watchdog0", "-action", "watchdog=\(action.rawValue)"]
    }
    return words
  }

  private var agentWords: [String] {
    guard domain.devices.hasGuestAgent else { return [] }
    var words = ["-chardev", "socket,id=agent,path=\(Self.escaped(files.agent)),server=on,wait=off"]
    // A virtio console has its bus already.
    if domain.devices.console != .virtio { words += ["-device", "virtio-serial-pci,id=virtio-serial0"] }
    return words + [
      "-device", "virtserialport,id=agent0,bus=virtio-serial0.0,chardev=agent,name=\(Domain.agentChannel)",
    ]
  }

  /// A value inside a comma-separated option: QEMU takes a doubled comma for one.
  static func escaped(_ value: String) -> String {
    value.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
  }
}
