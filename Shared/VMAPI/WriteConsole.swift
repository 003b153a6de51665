import Primitives
import RPC

/// Types into the serial console.
public enum WriteConsole: RPCMethod {
  public static let name = "vm.writeConsole"
  public static let summary = "Types into the serial console."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState]

  /// What `vm.writeConsole` is told.
  public struct Params: KeyedParams, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// The bytes in base64, at most 4096 of them.
    public var data: String
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, data, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .data: Field(\.data, "The bytes in base64, at most 4096 of them.")
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(name: VMName, data: String, requestKey: RequestKey? = nil) {
      self.name = name
      self.data = data
      self.requestKey = requestKey
    }
  }

  /// What `vm.writeConsole` answers.
  public struct Result: WireObject, Equatable {
    /// How many were taken.
    public var writtenBytes: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case writtenBytes
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .writtenBytes: Field(\.writtenBytes, "How many were taken.")
      }
    }

    public init(writtenBytes: Int) {
      self.writtenBytes = writtenBytes
    }
  }
}
