import Primitives

/// A virtual machine as its definition describes it: the part of libvirt's domain XML that this host honours.
///
/// What is not listed here is refused when a definition is read, never dropped. `Services/VMMonitor/README.md` lists the
/// elements.
public struct Domain: Sendable, Equatable {
  /// The namespace of our own settings inside `<metadata>`.
  public static let namespace = "urn:ftvs:domain:1"

  /// The name of the virtual machine.
  public var name: VMName
  /// The UUID in canonical lower case; nil when the definition leaves it to the host.
  public var uuid: String?
  public var title: String?
  /// Whether it runs in software even where the host has KVM (`type='qemu'`). Else (`type='kvm'`) it takes the best that
  /// the host's configuration and hardware give, and `vm.show` tells which that is.
  public var isEmulated: Bool
  public var memory: Memory
  public var topology: Topology
  public var boot: Boot
  public var processor: Processor
  public var clock: Clock
  public var onReboot: OnReboot
  /// What to do when its process ends unexpectedly; nil leaves it to `protection`.
  public var onCrash: OnCrash?
  public var devices: Devices
  public var settings: Settings

  /// Something of a definition and where it stands.
  public struct Located<Value: Sendable & Equatable>: Sendable, Equatable {
    public var value: Value
    public var line: Int
  }

  public struct Memory: Sendable, Equatable {
    /// Bytes, a multiple of 1 KiB, 1 MiB to 4 TiB.
    public var bytes: Int64
    /// Bytes that the guest keeps when its balloon is inflated at its start; nil for all.
    public var currentBytes: Int64?
  }

  /// Virtual processors: `sockets` * `dies` * `cores` * `threads`, 1 to 64 in all.
  public struct Topology: Sendable, Equatable {
    public var sockets: Int
    public var dies = 1
    public var cores: Int
    public var threads: Int
    public var cpus: Int { sockets * dies * cores * threads }
  }

  /// What the guest sees as its processor.
  public struct Processor: Sendable, Equatable {
    public enum Model: Sendable, Equatable {
      /// The best that the host can give.
      case best
      /// The host's own as far as the accelerator can show it.
      case host
      /// A model by QEMU's name.
      case named(String)
    }

    public var model = Model.best
    /// Features by QEMU's name that are switched on or off.
    public var features: [Feature] = []
    /// Whether it is not started where a feature of the model cannot be had (`check='full'`).
    public var isEnforced = false

    public struct Feature: Sendable, Equatable {
      public var name: String
      public var isOn: Bool
    }
  }

  public enum OnReboot: String, Sendable, Equatable { case restart, destroy }
  public enum OnCrash: String, Sendable, Equatable { case restart, destroy }

  /// What is done for it when its module is lost.
  public enum Protection: String, Sendable, Equatable, CaseIterable {
    /// Nothing: it stays down.
    case none
    /// It is restarted on the other module.
    case restart
  }

  /// Our own settings.
  /// What becomes of all undo disks of a machine together when it is shut down.
  public enum UndoPolicy: String, Sendable, Equatable, CaseIterable {
    /// They stay, and what was written may be given up later.
    case keep
    /// What was written becomes final.
    case commit
    /// What was written since the start is given up.
    case discard
    /// Somebody is to decide; it is not started before.
    case ask
  }

  public struct Settings: Sendable, Equatable {
    public var protection = Protection.restart
    /// 0 to 1000: of many that are to be restarted, those with a higher one come first.
    public var restartPriority = 0
    /// CPU module on which it is started where that is in service and nobody asks for another.
    public var preferredModule: ModuleID?
    /// What becomes of its undo disks when it is shut down.
    public var undoPolicy = UndoPolicy.keep
    /// Connections from the host that are passed on to the first interface.
    public var forwards: [Forward] = []
  }

  /// A port of the host whose connections go to a port of the guest.
  public struct Forward: Sendable, Equatable {
    public enum Transport: String, Sendable, Equatable { case tcp, udp }
    public var transport: Transport
    /// An IPv4 address of the host.
    public var hostAddress: String
    public var hostPort: UInt16
    public var guestPort: UInt16
    public var line: Int
  }
}

extension Domain {
  /// Reads a definition.
  ///
  /// - Throws: what is wrong, with element and line.
  public init(xml: String) throws(DomainError) {
    self = try DomainReader.read(XMLReader.read(xml))
  }

  /// The program that the definition asks for, with its line.
  public var emulator: Located<String>? { devices.emulator }
  public var memoryBytes: Int64 { memory.bytes }
  /// At most one of each target name.
  public var disks: [Disk] { devices.disks }
  public var interfaces: [Interface] { devices.interfaces }
  public var protection: Protection { settings.protection }
  public var restartPriority: Int { settings.restartPriority }

  /// Every volume that it uses: those of its disks and the one that keeps the firmware's variables.
  public var volumes: [VolumeName] { disks.compactMap(\.volume) + (boot.firmware.uefi.map { [$0.variables] } ?? []) }
}
