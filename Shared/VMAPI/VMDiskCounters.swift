import Primitives
import RPC

/// What a disk of a virtual machine did since the start of its process.
public struct VMDiskCounters: WireObject, Equatable {
  /// Name of the device in the definition, such as vda.
  public var target: String
  /// The volume behind it.
  public var volume: VolumeName?
  /// Bytes read.
  public var readBytes: Int64
  /// Bytes written.
  public var writtenBytes: Int64
  /// Reads.
  public var readOperations: Int64
  /// Writes.
  public var writeOperations: Int64
  /// Flushes.
  public var flushOperations: Int64
  /// Operations that failed.
  public var failedOperations: Int64

  public enum CodingKeys: CodingKey, CaseIterable {
    case target, volume, readBytes, writtenBytes, readOperations, writeOperations, flushOperations, failedOperations
  }

  public static func field(_ key: CodingKeys) -> Field<VMDiskCounters> {
    switch key {
    case .target: Field(\.target, "Name of the device in the definition, such as vda.")
    case .volume: Field(\.volume, "The volume behind it.")
    case .readBytes: Field(\.readBytes, "Bytes read.")
    case .writtenBytes: Field(\.writtenBytes, "Bytes written.")
    case .readOperations: Field(\.readOperations, "Reads.")
    case .writeOperations: Field(\.writeOperations, "Writes.")
    case .flushOperations: Field(\.flushOperations, "Flushes.")
    case .failedOperations: Field(\.failedOperations, "Operations that failed.")
    }
  }

  public init(
    target: String, volume: VolumeName? = nil, readBytes: Int64, writtenBytes: Int64, readOperations: Int64,
    writeOperations: Int64, flushOperations: Int64, failedOperations: Int64
  ) {
    self.target = target
    self.volume = volume
    self.readBytes = readBytes
    self.writtenBytes = writtenBytes
    self.readOperations = readOperations
    self.writeOperations = writeOperations
    self.flushOperations = flushOperations
    self.failedOperations = failedOperations
  }
}
