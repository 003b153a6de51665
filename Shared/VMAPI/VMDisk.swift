import Primitives
import RPC

/// A disk of a virtual machine.
public struct VMDisk: WireObject, Equatable {
  /// Name of the device in the definition, such as vda.
  public var target: String
  /// The volume behind it.
  public var volume: VolumeName

  public enum CodingKeys: CodingKey, CaseIterable {
    case target, volume
  }

  public static func field(_ key: CodingKeys) -> Field<VMDisk> {
    switch key {
    case .target: Field(\.target, "Name of the device in the definition, such as vda.")
    case .volume: Field(\.volume, "The volume behind it.")
    }
  }

  public init(target: String, volume: VolumeName) {
    self.target = target
    self.volume = volume
  }
}
