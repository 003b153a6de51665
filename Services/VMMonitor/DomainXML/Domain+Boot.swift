import Primitives

extension Domain {
  /// Firmware and what it boots, or a kernel given directly.
  public struct Boot: Sendable, Equatable {
    public enum Machine: String, Sendable, Equatable { case pc, q35 }
    /// A kind of device to boot from: libvirt's words.
    public enum Device: String, Sendable, Equatable, CaseIterable { case hd, cdrom, network, fd }

    public var machine: Machine
    public var firmware = Firmware.bios(path: nil)
    public var kernel: String?
    public var initialRAMDisk: String?
    public var commandLine: String?
    /// Kinds of devices in the order in which the firmware tries them; empty when the devices say it, or nobody does.
    public var order: [Device] = []
    public var menu: Menu?

    /// The firmware's boot menu.
    public struct Menu: Sendable, Equatable {
      /// For how long it waits for a key, 0 to 65,535 ms; nil leaves it to the firmware.
      public var milliseconds: Int?
    }
  }

  public enum Firmware: Sendable, Equatable {
    /// QEMU's own BIOS, or an image of one.
    case bios(path: String?)
    case uefi(UEFI)

    public var uefi: UEFI? { if case .uefi(let uefi) = self { uefi } else { nil } }
  }

  /// UEFI firmware in two flash memories: its code, which all share, and its variables, which are a volume of the
  /// machine's own and so on both legs.
  public struct UEFI: Sendable, Equatable {
    /// Image of the code.
    public var code: String
    /// Image with which the variables begin.
    public var template: String
    public var variables: VolumeName
    /// Whether only the firmware's own code, in system management mode, may change the variables.
    public var isSecure: Bool
  }

  /// The guest's clocks.
  public struct Clock: Sendable, Equatable {
    public enum Offset: String, Sendable, Equatable { case utc, localtime }
    /// What becomes of ticks that the guest missed.
    public enum TickPolicy: String, Sendable, Equatable { case delay, catchup, discard }

    public var offset = Offset.utc
    /// Of the real-time clock: delay or catchup.
    public var rtc: TickPolicy?
    /// Of the interval timer under KVM.
    public var pit: TickPolicy?
    public var hasHPET: Bool?
    public var hasKVMClock: Bool?
  }
}
