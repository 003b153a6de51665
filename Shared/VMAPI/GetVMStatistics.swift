import Primitives
import RPC

/// Tells what virtual machines have used: processors, memory, disks; now and in the last half hour, as far as this
/// instance of the monitor watched them.
public enum GetVMStatistics: RPCMethod {
  public static let name = "vm.statistics"
  public static let summary =
    "Tells what virtual machines have used: processors, memory, disks; now and in the last half hour."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.statistics` is told.
  public struct Params: WireObject, Equatable {
    /// Only this one.
    public var name: VMName?
    /// How many of the newest samples of each; 2 when left out. One is taken every 5 seconds.
    public var samples: Int?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, samples
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "Only this one.")
      case .samples:
        Field(
          \.samples, "How many of the newest samples of each; 2 when left out. One is taken every 5 seconds.",
          in: 1...360)
      }
    }

    public init(name: VMName? = nil, samples: Int? = nil) {
      self.name = name
      self.samples = samples
    }
  }

  /// What `vm.statistics` answers.
  public struct Result: WireObject, Equatable {
    /// Time between samples.
    public var intervalMilliseconds: Int
    /// By name.
    public var vms: [VMStatistics]

    public enum CodingKeys: CodingKey, CaseIterable {
      case intervalMilliseconds, vms
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .intervalMilliseconds: Field(\.intervalMilliseconds, "Time between samples.")
      case .vms: Field(\.vms, "By name.")
      }
    }

    public init(intervalMilliseconds: Int, vms: [VMStatistics]) {
      self.intervalMilliseconds = intervalMilliseconds
      self.vms = vms
    }
  }
}
