/// What an engine counted since its process began.
public struct EngineStatistics: Sendable, Equatable {
  /// Counters of one disk.
  public struct Disk: Sendable, Equatable {
    public var readBytes: Int64 = 0
    public var writtenBytes: Int64 = 0
    public var readOperations: Int64 = 0
    public var writeOperations: Int64 = 0
    public var flushOperations: Int64 = 0
    public var failedOperations: Int64 = 0

    public init() {}
  }

  /// By the target that the definition names.
  public var disks: [String: Disk] = [:]
  /// Memory that the balloon leaves the guest; nil without a balloon.
  public var balloonBytes: Int64?

  public init() {}
}
