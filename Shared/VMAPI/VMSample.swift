import Primitives
import RPC

/// What a virtual machine has used, at one moment. Counters begin with its process.
public struct VMSample: WireObject, Equatable {
  /// When, in milliseconds since 1970.
  public var timeMilliseconds: Int64
  /// Its process: counters of another one began anew.
  public var processID: Int?
  /// CPU module on which it ran.
  public var module: ModuleID?
  /// Time of processors that its process took.
  public var cpuMilliseconds: Int64?
  /// Memory of the host that its process holds.
  public var memoryBytes: Int64?
  /// Memory that its balloon leaves it, where it has one.
  public var balloonBytes: Int64?
  /// Its disks.
  public var disks: [VMDiskCounters]

  public enum CodingKeys: CodingKey, CaseIterable {
    case timeMilliseconds, processID, module, cpuMilliseconds, memoryBytes, balloonBytes, disks
  }

  public static func field(_ key: CodingKeys) -> Field<VMSample> {
    switch key {
    case .timeMilliseconds: Field(\.timeMilliseconds, "When, in milliseconds since 1970.")
    case .processID: Field(\.processID, "Its process: counters of another one began anew.")
    case .module: Field(\.module, "CPU module on which it ran.")
    case .cpuMilliseconds: Field(\.cpuMilliseconds, "Time of processors that its process took.")
    case .memoryBytes: Field(\.memoryBytes, "Memory of the host that its process holds.")
    case .balloonBytes: Field(\.balloonBytes, "Memory that its balloon leaves it, where it has one.")
    case .disks: Field(\.disks, "Its disks.")
    }
  }

  public init(
    timeMilliseconds: Int64, processID: Int? = nil, module: ModuleID? = nil, cpuMilliseconds: Int64? = nil,
    memoryBytes: Int64? = nil, balloonBytes: Int64? = nil, disks: [VMDiskCounters]
  ) {
    self.timeMilliseconds = timeMilliseconds
    self.processID = processID
    self.module = module
    self.cpuMilliseconds = cpuMilliseconds
    self.memoryBytes = memoryBytes
    self.balloonBytes = balloonBytes
    self.disks = disks
  }
}
