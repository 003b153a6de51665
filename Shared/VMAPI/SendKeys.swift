import Primitives
import RPC

/// Presses keys of a virtual machine's keyboard, all at once.
public enum SendKeys: RPCMethod {
  public static let name = "vm.sendKeys"
  public static let summary = "Presses keys of a virtual machine's keyboard, all at once."
  public static let access = Access.operator
  public static let effect = Effect.keyed
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed]

  /// What `vm.sendKeys` is told.
  public struct Params: KeyedParams, Equatable {
    /// The virtual machine.
    public var name: VMName
    /// 1 to 16 keys by QEMU's names (ctrl, alt, delete) or libvirt's (KEY_LEFTCTRL), pressed together.
    public var keys: [String]
    /// How long they are held; 100 when left out.
    public var holdMilliseconds: Int?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case name, keys, holdMilliseconds, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      case .keys:
        Field(\.keys, "1 to 16 keys by QEMU's names (ctrl, alt, delete) or libvirt's (KEY_LEFTCTRL), pressed together.")
      case .holdMilliseconds: Field(\.holdMilliseconds, "How long they are held; 100 when left out.", in: 1...10000)
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(name: VMName, keys: [String], holdMilliseconds: Int? = nil, requestKey: RequestKey? = nil) {
      self.name = name
      self.keys = keys
      self.holdMilliseconds = holdMilliseconds
      self.requestKey = requestKey
    }
  }

  public typealias Result = VMSummary
}
