import Primitives
import RPC

/// Takes a picture of a virtual machine's screen.
public enum GetScreenshot: RPCMethod {
  public static let name = "vm.screenshot"
  public static let summary = "Takes a picture of a virtual machine's screen."
  public static let access = Access.operator
  public static let effect = Effect.read
  public static let failures: [VMFailure] = [.noSuchVM, .wrongState, .engineFailed]

  /// What `vm.screenshot` is told.
  public struct Params: WireObject, Equatable {
    /// The virtual machine.
    public var name: VMName

    public enum CodingKeys: CodingKey, CaseIterable {
      case name
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .name: Field(\.name, "The virtual machine.")
      }
    }

    public init(name: VMName) {
      self.name = name
    }
  }

  /// What `vm.screenshot` answers.
  public struct Result: WireObject, Equatable {
    /// The picture, PNG in base64.
    public var data: String
    /// Its width.
    public var widthPixels: Int
    /// Its height.
    public var heightPixels: Int

    public enum CodingKeys: CodingKey, CaseIterable {
      case data, widthPixels, heightPixels
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .data: Field(\.data, "The picture, PNG in base64.")
      case .widthPixels: Field(\.widthPixels, "Its width.")
      case .heightPixels: Field(\.heightPixels, "Its height.")
      }
    }

    public init(data: String, widthPixels: Int, heightPixels: Int) {
      self.data = data
      self.widthPixels = widthPixels
      self.heightPixels = heightPixels
    }
  }
}
