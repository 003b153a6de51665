import Primitives

extension Domain {
  /// The devices of a virtual machine.
  public struct Devices: Sendable, Equatable {
    public var emulator: Located<String>?
    public var disks: [Disk] = []
    public var interfaces: [Interface] = []
    public var console: Console?
    public var random: RandomSource?
    public var balloon: Balloon?
    public var graphics: Graphics?
    public var video: Video?
    public var inputs: [Input] = []
    public var usb: USBController?
    public var hasSCSIController = false
    public var watchdog: Watchdog?
    /// Whether the guest can tell that it panicked.
    public var hasPanicNotifier = false
    /// Whether there is a channel to QEMU's guest agent.
    public var hasGuestAgent = false

    public init() {}
  }

  /// A disk, CD-ROM or floppy drive.
  public struct Disk: Sendable, Equatable {
    public enum Kind: String, Sendable, Equatable { case disk, cdrom, floppy }
    public enum Bus: String, Sendable, Equatable, CaseIterable { case virtio, sata, ide, scsi, fdc }

    public var kind: Kind
    public var bus: Bus
    /// Name in the definition, such as `vda`: it also gives the place on the bus.
    public var target: String
    /// Nil for a drive without a medium.
    public var volume: VolumeName?
    public var isReadOnly: Bool
    /// Whether the guest sees a write cache that it flushes; else every write is durable.
    public var hasWriteCache: Bool
    public var passesDiscard: Bool
    public var serial: String?
    /// Place in the firmware's order, from 1.
    public var bootOrder: Int?
    public var line: Int

    /// Its place on its bus: 0 for `sda`, 25 for `sdz`, 26 for `sdaa`.
    public var unit: Int { Self.unit(target) ?? 0 }

    /// The number that the letters behind a two-letter prefix stand for.
    static func unit(_ target: String) -> Int? {
      let letters = target.utf8.dropFirst(2)
      guard (1...2).contains(letters.count), letters.allSatisfy({ (0x61...0x7A).contains($0) }) else { return nil }
      return letters.reduce(0) { $0 * 26 + Int($1) - 0x60 } - 1
    }
  }

  /// A network interface on QEMU's own user network.
  public struct Interface: Sendable, Equatable {
    public enum Model: String, Sendable, Equatable, CaseIterable { case virtio, e1000, e1000e }
    /// Lower case with colons; nil when the definition leaves it to the host.
    public var mac: String?
    public var model: Model
    public var bootOrder: Int?
    public var line: Int
  }

  /// Where the guest's console is.
  public enum Console: Sendable, Equatable {
    case serial
    /// A virtio console (`hvc0`).
    case virtio
  }

  public struct RandomSource: Sendable, Equatable {
    /// At most this many bytes in each period.
    public var limit: Limit?

    public struct Limit: Sendable, Equatable {
      public var bytes: Int64
      public var periodMilliseconds: Int64
    }
  }

  public struct Balloon: Sendable, Equatable {
    /// Whether the guest gets memory back rather than run out of it.
    public var deflatesOnOOM = false
    /// Whether the guest gives pages back that it does not use.
    public var reportsFreePages = false
  }

  /// A VNC server on a Unix socket of the guest's own.
  public struct Graphics: Sendable, Equatable {
    /// Keyboard layout by QEMU's name.
    public var keymap: String?
  }

  public struct Video: Sendable, Equatable {
    public enum Model: String, Sendable, Equatable, CaseIterable { case vga, virtio, cirrus, bochs }
    public var model: Model
    /// Memory of a VGA, a power of two from 1 to 256 MiB; nil for QEMU's own.
    public var memoryMiB: Int?
  }

  /// An input device beside the PS/2 mouse and keyboard that are always there.
  public struct Input: Sendable, Equatable {
    public enum Kind: String, Sendable, Equatable, CaseIterable { case tablet, mouse, keyboard }
    public enum Bus: String, Sendable, Equatable, CaseIterable { case usb, virtio, ps2 }
    public var kind: Kind
    public var bus: Bus
  }

  public enum USBController: String, Sendable, Equatable {
    case xhci = "qemu-xhci"
    case uhci = "piix3-uhci"
  }

  /// A watchdog (Intel 6300ESB) and what follows when the guest leaves it alone: QEMU's words.
  public enum Watchdog: String, Sendable, Equatable, CaseIterable {
    case reset, shutdown, poweroff, none
    case nmi = "inject-nmi"
  }
}

extension Domain {
  /// Name of the channel on which QEMU's guest agent listens (QEMU, docs/interop/qemu-ga.rst).
  public static let agentChannel = ChannelReader.agent
}

extension Domain.Devices {
  public var hasSerialPort: Bool { console == .serial }
  public var hasRandomSource: Bool { random != nil }
}
