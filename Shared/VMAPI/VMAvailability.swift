import Primitives
import RPC

/// How available a virtual machine was, computed from the records.
public struct VMAvailability: WireObject, Equatable {
  /// The virtual machine.
  public var name: VMName
  /// Begin of the records: its first start, in milliseconds since 1970.
  public var sinceMilliseconds: Int64
  /// Time up.
  public var upMilliseconds: Int64
  /// Time down because somebody asked for it.
  public var plannedDownMilliseconds: Int64
  /// Time down after failures.
  public var unplannedDownMilliseconds: Int64
  /// Time up by time up and down after failures; 1 is always.
  public var availability: Double
  /// The outages, oldest first; at most the last 1,000.
  public var outages: [VMOutage]

  public enum CodingKeys: CodingKey, CaseIterable {
    case name, sinceMilliseconds, upMilliseconds, plannedDownMilliseconds, unplannedDownMilliseconds, availability,
      outages
  }

  public static func field(_ key: CodingKeys) -> Field<VMAvailability> {
    switch key {
    case .name: Field(\.name, "The virtual machine.")
    case .sinceMilliseconds:
      Field(
        \.sinceMilliseconds,
        "Begin of the records: its first start, in milliseconds since 1970.")
    case .upMilliseconds: Field(\.upMilliseconds, "Time up.")
    case .plannedDownMilliseconds: Field(\.plannedDownMilliseconds, "Time down because somebody asked for it.")
    case .unplannedDownMilliseconds: Field(\.unplannedDownMilliseconds, "Time down after failures.")
    case .availability: Field(\.availability, "Time up by time up and down after failures; 1 is always.")
    case .outages: Field(\.outages, "The outages, oldest first; at most the last 1,000.")
    }
  }

  public init(
    name: VMName,
    sinceMilliseconds: Int64,
    upMilliseconds: Int64,
    plannedDownMilliseconds: Int64,
    unplannedDownMilliseconds: Int64,
    availability: Double,
    outages: [VMOutage]
  ) {
    self.name = name
    self.sinceMilliseconds = sinceMilliseconds
    self.upMilliseconds = upMilliseconds
    self.plannedDownMilliseconds = plannedDownMilliseconds
    self.unplannedDownMilliseconds = unplannedDownMilliseconds
    self.availability = availability
    self.outages = outages
  }
}
