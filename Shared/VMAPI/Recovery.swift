import Primitives
import RPC

/// One restart after a failure, by phase.
public struct Recovery: WireObject, Equatable {
  /// What failed.
  public var cause: String
  /// Where it ran.
  public var fromModule: ModuleID
  /// Where it was restarted.
  public var toModule: ModuleID
  /// When the failure was noticed, in milliseconds since 1970.
  public var failedMilliseconds: Int64
  /// From the module's last sign of life to the notice, as far as known.
  public var detectMilliseconds: Double
  /// Until the surviving module was chosen.
  public var decideMilliseconds: Double
  /// Until the old process and its disk sessions were proven gone.
  public var fenceMilliseconds: Double
  /// Until the new process ran its first instruction.
  public var startMilliseconds: Double

  public enum CodingKeys: CodingKey, CaseIterable {
    case cause, fromModule, toModule, failedMilliseconds, detectMilliseconds, decideMilliseconds, fenceMilliseconds,
      startMilliseconds
  }

  public static func field(_ key: CodingKeys) -> Field<Recovery> {
    switch key {
    case .cause: Field(\.cause, "What failed.")
    case .fromModule: Field(\.fromModule, "Where it ran.")
    case .toModule: Field(\.toModule, "Where it was restarted.")
    case .failedMilliseconds: Field(\.failedMilliseconds, "When the failure was noticed, in milliseconds since 1970.")
    case .detectMilliseconds:
      Field(
        \.detectMilliseconds,
        "From the module's last sign of life to the notice, as far as known.")
    case .decideMilliseconds: Field(\.decideMilliseconds, "Until the surviving module was chosen.")
    case .fenceMilliseconds:
      Field(
        \.fenceMilliseconds,
        "Until the old process and its disk sessions were proven gone.")
    case .startMilliseconds: Field(\.startMilliseconds, "Until the new process ran its first instruction.")
    }
  }

  public init(
    cause: String,
    fromModule: ModuleID,
    toModule: ModuleID,
    failedMilliseconds: Int64,
    detectMilliseconds: Double,
    decideMilliseconds: Double,
    fenceMilliseconds: Double,
    startMilliseconds: Double
  ) {
    self.cause = cause
    self.fromModule = fromModule
    self.toModule = toModule
    self.failedMilliseconds = failedMilliseconds
    self.detectMilliseconds = detectMilliseconds
    self.decideMilliseconds = decideMilliseconds
    self.fenceMilliseconds = fenceMilliseconds
    self.startMilliseconds = startMilliseconds
  }
}
