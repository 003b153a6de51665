import Primitives
import RPC

/// A disk or drive of a virtual machine.
public struct VMDisk: WireObject, Equatable {
  /// Name of the device in the definition, such as vda.
  public var target: String
  /// The volume behind it; left out for a drive without a medium.
  public var volume: VolumeName?
  /// What it is: disk, cdrom or floppy.
  public var kind: String?
  /// How it is attached: virtio, sata, ide, scsi or fdc.
  public var bus: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case target, volume, kind, bus
  }

  public static func field(_ key: CodingKeys) -> Field<VMDisk> {
    switch key {
    case .target: Field(\.target, "Name of the device in the definition, such as vda.")
    case .volume: Field(\.volume, "The volume behind it; left out for a drive without a medium.")
    case .kind: Field(\.kind, "What it is: disk, cdrom or floppy.")
    case .bus: Field(\.bus, "How it is attached: virtio, sata, ide, scsi or fdc.")
    }
  }

  public init(target: String, volume: VolumeName? = nil, kind: String? = nil, bus: String? = nil) {
    self.target = target
    self.volume = volume
    self.kind = kind
    self.bus = bus
  }
}
