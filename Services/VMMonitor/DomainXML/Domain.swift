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
  /// Memory in bytes, a multiple of 1 KiB, 1 MiB to 4 TiB.
  public var memoryBytes: Int64
  public var topology: Topology
  public var boot: Boot
  public var processor: Processor
  public var clock: Clock
  public var onReboot: OnReboot
  /// What to do when its process ends unexpectedly; nil leaves it to `protection`.
  public var onCrash: OnCrash?
  /// The program that the definition asks for, with its line.
  public var emulator: Located<String>?
  /// At most one of each target name.
  public var disks: [Disk]
  public var interfaces: [Interface]
  /// Connections from the host that are passed on to the first interface.
  public var forwards: [Forward]
  public var hasSerialPort: Bool
  public var hasRandomSource: Bool
  public var protection: Protection
  /// 0 to 1000: of many that are to be restarted, those with a higher one come first.
  public var restartPriority: Int

  /// Something of a definition and where it stands.
  public struct Located<Value: Sendable & Equatable>: Sendable, Equatable {
    public var value: Value
    public var line: Int
  }

  /// Virtual processors: `sockets` * `cores` * `threads`, 1 to 64 in all.
  public struct Topology: Sendable, Equatable {
    public var sockets: Int
    public var cores: Int
    public var threads: Int
    public var cpus: Int { sockets * cores * threads }
  }

  /// Firmware, or a kernel given directly.
  public struct Boot: Sendable, Equatable {
    public enum Machine: String, Sendable, Equatable { case pc, q35 }
    public var machine: Machine
    public var kernel: String?
    public var initialRAMDisk: String?
    public var commandLine: String?
    /// Whether the firmware boots from the first disk.
    public var fromDisk: Bool
  }

  /// What the guest sees as its processor.
  public enum Processor: Sendable, Equatable {
    /// The best that the host can give.
    case best
    /// The host's own as far as the accelerator can show it.
    case host
    /// A model by QEMU's name.
    case model(String)
  }

  public enum Clock: String, Sendable, Equatable { case utc, localtime }
  public enum OnReboot: String, Sendable, Equatable { case restart, destroy }
  public enum OnCrash: String, Sendable, Equatable { case restart, destroy }

  /// What is done for it when its module is lost.
  public enum Protection: String, Sendable, Equatable, CaseIterable {
    /// Nothing: it stays down.
    case none
    /// It is restarted on the other module.
    case restart
  }

  /// A disk on one of our volumes.
  public struct Disk: Sendable, Equatable {
    public var target: String
    public var volume: VolumeName
    public var isReadOnly: Bool
    /// Whether the guest sees a write cache that it flushes; else every write is durable.
    public var hasWriteCache: Bool
    public var passesDiscard: Bool
    public var serial: String?
    public var line: Int
  }

  /// A network interface on QEMU's own user network.
  public struct Interface: Sendable, Equatable {
    /// Lower case with colons; nil when the definition leaves it to the host.
    public var mac: String?
    public var line: Int
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
}
