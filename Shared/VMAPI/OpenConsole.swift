import Primitives
import RPC

/// Sends what the serial console printed, and then what it prints.
public enum OpenConsole: RPCSubscription {
  public static let name = "vm.console"
  public static let summary = "Sends what the serial console printed, and then what it prints."
  public static let access = Access.operator
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM]

  /// What `vm.console` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// How much of the log to send first, at most; 4096 when left out.
    public var historyBytes: Int?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, historyBytes
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .historyBytes:
        Field(
          \.historyBytes,
          "How much of the log to send first, at most; 4096 when left out.", in: 0...1048576)
      }
    }

    public init(name: VMName, historyBytes: Int? = nil) {
      self.name = name
      self.historyBytes = historyBytes
    }
  }

  public typealias Event = ConsoleOutput
}
