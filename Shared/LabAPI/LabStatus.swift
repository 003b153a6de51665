import RPC

/// A lab.
public struct LabStatus: WireObject, Equatable {
  /// Where it lives.
  public var directory: String
  /// The process that runs it.
  public var processID: Int
  /// Its units.
  public var units: [LabUnit]

  public enum CodingKeys: CodingKey, CaseIterable {
    case directory, processID, units
  }

  public static func field(_ key: CodingKeys) -> Field<LabStatus> {
    switch key {
    case .directory: Field(\.directory, "Where it lives.")
    case .processID: Field(\.processID, "The process that runs it.")
    case .units: Field(\.units, "Its units.")
    }
  }

  public init(directory: String, processID: Int, units: [LabUnit]) {
    self.directory = directory
    self.processID = processID
    self.units = units
  }
}
