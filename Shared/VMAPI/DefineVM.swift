import RPC

/// Defines a virtual machine from libvirt domain XML, or redefines one that is not running.
public enum DefineVM: RPCMethod {
  public static let name = "vm.define"
  public static let summary =
    "Defines a virtual machine from libvirt domain XML, or redefines one that is not running."
  public static let access = Access.admin
  public static let effect = Effect.keyed
  public static let failures: [VMFailure] = [
    .badDefinition, .vmExists, .wrongState, .limitReached, .definitionChanged,
  ]

  /// What `vm.define` is told.
  public struct Params: KeyedParams, Equatable {
    /// The domain XML, at most 1 MiB.
    public var definition: String
    /// Whether it is started with the host.
    public var autostart: Bool?
    /// Version of the definition that this one follows; 0 for a machine that must not be there yet.
    public var expectedVersion: Int?
    /// Key that a repeat must carry.
    public var requestKey: RequestKey?

    public enum CodingKeys: CodingKey, CaseIterable {
      case definition, autostart, expectedVersion, requestKey
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .definition: Field(\.definition, "The domain XML, at most 1 MiB.")
      case .autostart: Field(\.autostart, "Whether it is started with the host.")
      case .expectedVersion:
        Field(
          \.expectedVersion,
          "Version of the definition that this one follows, refused when there is another one; 0 for a machine that must "
            + "not be there yet.", in: 0...Int.max)
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }

    public init(
      definition: String, autostart: Bool? = nil, expectedVersion: Int? = nil, requestKey: RequestKey? = nil
    ) {
      self.definition = definition
      self.autostart = autostart
      self.expectedVersion = expectedVersion
      self.requestKey = requestKey
    }
  }

  public typealias Result = VMDetail
}
