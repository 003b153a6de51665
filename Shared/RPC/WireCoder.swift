/// Turns wire values to JSON and back.
///
/// A `Codable` coder over `JSONValue` that knows the contract: it says which member is wrong and why, checks the ranges
/// that fields declare (also of nested objects), and refuses members that a request should not have.
public enum WireCoder {
  /// What becomes of an object's members that its type does not have.
  public enum UnknownMembers: Sendable {
    /// An error that names them: for what people and clients write.
    case refuse
    /// Dropped: for what a newer service answers.
    case ignore
  }

  /// The JSON of a value. Members that are nil are left out; a dictionary's are sorted by name.
  ///
  /// Fails with `internalError` where the value holds what JSON cannot, such as NaN.
  public static func encode(_ value: some WireValue) throws(RPCError) -> JSONValue {
    do {
      return try WireEncoder.encode(value, at: { .root("") })
    } catch let problem as WireProblem {
      throw RPCError(CommonFailure.internalError, problem.description)
    } catch {
      throw RPCError(CommonFailure.internalError, "A message could not be encoded: \(error).")
    }
  }

  /// The value in some JSON.
  ///
  /// `name` stands for the whole in errors, such as "params.sizeBytes: expected an integer". With `refuse` an error is
  /// `invalidParams`, with `ignore` it is `answerNotUnderstood`. With `ignore`, an enumeration that has a case `unknown` takes
  /// it for words that it does not know.
  public static func decode<T: WireValue>(
    _ type: T.Type, from json: JSONValue, unknownMembers: UnknownMembers, name: String = "params"
  ) throws(RPCError) -> T {
    if let usual = T.usual(json) { return usual }
    do {
      return try WireDecoder.decode(type, from: json, at: { .root(name) }, unknown: unknownMembers)
    } catch {
      let problem = WireProblem(error, in: name)
      throw RPCError(
        unknownMembers == .refuse ? CommonFailure.invalidParams : .answerNotUnderstood, problem.description,
        data: ["member": .string(problem.path)])
    }
  }
}

/// What is wrong with a member.
struct WireProblem: Error, CustomStringConvertible {
  /// Which one: "params.disks[1].size".
  let path: String
  /// What is expected there instead.
  let message: String

  init(_ path: WirePath, _ message: String) {
    self.path = path.text
    self.message = message
  }

  /// From whatever a type's `init(from:)` threw.
  init(_ error: any Error, in name: String) {
    switch error {
    case let problem as WireProblem: self = problem
    case DecodingError.dataCorrupted(let context), DecodingError.typeMismatch(_, let context),
      DecodingError.valueNotFound(_, let context), DecodingError.keyNotFound(_, let context):
      let path = context.codingPath.reduce(WirePath.root(name)) { path, key in
        key.intValue.map { .element(path, $0) } ?? .member(path, key.stringValue)
      }
      self.init(path, context.debugDescription)
    default: self.init(.root(name), "\(error)")
    }
  }

  var description: String { path.isEmpty ? message : "\(path): \(message)" }
}

/// Where in a message a value is.
indirect enum WirePath: Sendable {
  case root(String)
  case member(WirePath, String)
  case element(WirePath, Int)

  var text: String {
    switch self {
    case .root(let name): return name
    case .member(let parent, let name):
      let begin = parent.text
      return begin.isEmpty ? name : "\(begin).\(name)"
    case .element(let parent, let index): return "\(parent.text)[\(index)]"
    }
  }

  var codingPath: [any CodingKey] {
    switch self {
    case .root: []
    case .member(let parent, let name): parent.codingPath + [WireKey(name)]
    case .element(let parent, let index): parent.codingPath + [WireKey(intValue: index)]
    }
  }
}
