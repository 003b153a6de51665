import Primitives
import Synchronization

/// What the coder has to know of a type, found out once.
enum WireFacts: Sendable {
  /// `JSONValue`: taken as it is.
  case json
  /// A type with a string as its raw value: a name, a key, an enumeration.
  case word(Word)
  case object(Object)
  /// A dictionary by strings.
  case dictionary
  /// Anything else: its own `Codable` does.
  case plain

  /// Its closures take a place in memory that is of the very type that the facts were found for; a type in between, such as
  /// `Any`, would cost more than all the rest.
  final class Word: Sendable {
    /// Initializes the memory with the value that a text stands for; false, and the memory stays empty, when there is none.
    let make: @Sendable (String, _ memory: UnsafeMutableRawPointer) -> Bool
    let text: @Sendable (_ value: UnsafeRawPointer) -> String
    /// Why a text was refused.
    let rule: @Sendable (String) -> String

    init<T: WireValue & RawRepresentable<String>>(_ type: T.Type, rule: @escaping @Sendable (String) -> String) {
      make = { text, memory in
        guard let value = T(rawValue: text) else { return false }
        memory.initializeMemory(as: T.self, to: value)
        return true
      }
      text = { $0.load(as: T.self).rawValue }
      self.rule = rule
    }
  }

  final class Object: Sendable {
    let members: [String]
    /// The first of the object's members that is out of its range, and why; nil where no member has one.
    let complaint: (@Sendable (Any) -> (member: String, complaint: String)?)?

    init(members: [String], complaint: (@Sendable (Any) -> (member: String, complaint: String)?)?) {
      self.members = members
      self.complaint = complaint
    }
  }

  private static let known = Mutex<[ObjectIdentifier: WireFacts]>([:])

  static func of<T>(_ type: T.Type) -> WireFacts {
    let identifier = ObjectIdentifier(type)
    if let facts = known.withLock({ $0[identifier] }) { return facts }
    let facts = find(type)
    known.withLock { $0[identifier] = facts }
    return facts
  }

  private static func find(_ type: Any.Type) -> WireFacts {
    if type == JSONValue.self { return .json }
    if let object = type as? any WireObject.Type { return .object(facts(ofObject: object)) }
    if type is any StringDictionary.Type { return .dictionary }
    // Base types such as String are not raw-representable; they stay plain.
    if let word = type as? any (WireValue & RawRepresentable<String>).Type { return .word(facts(ofWord: word)) }
    return .plain
  }

  private static func facts<T: WireObject>(ofObject type: T.Type) -> Object {
    let keys = Array(T.CodingKeys.allCases)
    let checked = keys.compactMap { key in
      let field = T.field(key)
      return field.isChecked ? CheckedMember(name: key.stringValue, complaint: field.complaint) : nil
    }
    let members = keys.map(\.stringValue)
    guard !checked.isEmpty else { return Object(members: members, complaint: nil) }
    return Object(
      members: members,
      complaint: { any in
        guard let root = any as? T else { return nil }
        for member in checked {
          if let complaint = member.complaint(root) { return (member.name, complaint) }
        }
        return nil
      })
  }

  private struct CheckedMember<Root>: Sendable {
    let name: String
    let complaint: @Sendable (Root) -> String?
  }

  private static func facts<T: WireValue & RawRepresentable<String>>(ofWord type: T.Type) -> Word {
    Word(type, rule: { rule(of: T.self, $0) })
  }

  private static func rule<T: WireValue & RawRepresentable<String>>(of type: T.Type, _ text: String) -> String {
    let shown = "\"\(text.prefix(64))\""
    if let name = type as? any UserName.Type { return "\(shown) is refused. \(name.rule)" }
    if type == RequestKey.self {
      return "\(shown) is not a request key: the Unix time in milliseconds, '-', and 8 to 32 of a-z, 0-9 and '-'"
    }
    if type == GenerationID.self { return "\(shown) is not 32 hexadecimal digits in lower case" }
    guard case .choice(let words) = T.schema else { return "\(shown) is not a \(type)" }
    return "\(shown) is not one of \(words.joined(separator: ", "))"
  }
}

/// Dictionaries whose keys are member names.
private protocol StringDictionary {}
extension Dictionary: StringDictionary where Key == String {}
