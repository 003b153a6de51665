import Primitives

/// An element under inspection: whoever reads it says which attributes and children it knows, and the rest is refused.
struct Scan {
  let element: XMLElement
  let path: String

  init(_ element: XMLElement, path: String) {
    self.element = element
    self.path = path
  }

  /// Refuses attributes and children that are not among those named. `text` tells whether text is expected.
  func allow(
    attributes: [String] = [], children: [String] = [], text: Bool = false
  ) throws(DomainError) {
    for attribute in element.attributes where attribute.namespace != nil || !attributes.contains(attribute.name) {
      throw error(attribute: attribute.name, "is not supported; remove it")
    }
    for child in element.children where child.namespace != element.namespace || !children.contains(child.name) {
      throw DomainError(element: "\(path)/\(child.name)", line: child.line, "is not supported; remove it")
    }
    if !text, !element.trimmedText.isEmpty { throw error("text is not expected here") }
  }

  /// The only child of a name.
  func child(_ name: String) throws(DomainError) -> Scan? {
    let found = children(name)
    if found.count > 1 { throw found[1].error("is there twice") }
    return found.first
  }

  func children(_ name: String) -> [Scan] {
    element.children.filter { $0.name == name && $0.namespace == element.namespace }.map {
      Scan($0, path: "\(path)/\(name)")
    }
  }

  func attribute(_ name: String) -> String? { element.attribute(name) }

  /// An attribute that must be there.
  func required(_ name: String) throws(DomainError) -> String {
    guard let value = attribute(name), !value.isEmpty else {
      throw error("the attribute '\(name)' is missing")
    }
    return value
  }

  /// An attribute that must be one of a few values; nil when it is not there.
  @discardableResult
  func choice(_ name: String, _ values: [String], _ advice: String? = nil) throws(DomainError) -> String? {
    guard let value = attribute(name) else { return nil }
    guard values.contains(value) else {
      guard !values.isEmpty else { throw error(attribute: name, "is not supported; remove it") }
      let list = values.map { "'\($0)'" }.joined(separator: " or ")
      throw error(attribute: name, "'\(value)' is not supported, only \(list)\(advice.map { "; \($0)" } ?? "")")
    }
    return value
  }

  /// An attribute that is one of two words; nil when it is not there.
  func flag(_ name: String, _ yes: String = "yes", _ no: String = "no") throws(DomainError) -> Bool? {
    try choice(name, [yes, no]).map { $0 == yes }
  }

  /// An attribute that must be a decimal number in a range; nil when it is not there.
  func number(attribute name: String, in range: ClosedRange<Int64>) throws(DomainError) -> Int64? {
    guard let text = attribute(name) else { return nil }
    guard let value = Self.number(text), range.contains(value) else {
      throw error(
        attribute: name, "'\(text.prefix(40))' is not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// An attribute that must be one of the values of a type; nil when it is not there.
  func value<Value: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Value.Type, _ advice: String? = nil
  ) throws(DomainError) -> Value? where Value.RawValue == String {
    try choice(name, Value.allCases.map(\.rawValue), advice).flatMap(Value.init(rawValue:))
  }

  /// The element's text, which must be a decimal number in a range.
  func number(in range: ClosedRange<Int64>) throws(DomainError) -> Int64 {
    let text = element.trimmedText
    guard let value = Self.number(text), range.contains(value) else {
      throw error("'\(text.prefix(40))' is not a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// Text that is not empty, has no NUL and at most `limit` bytes.
  func text(limit: Int) throws(DomainError) -> String {
    let text = element.trimmedText
    guard !text.isEmpty else { throw error("is empty") }
    guard text.utf8.count <= limit else { throw error("has more than \(limit) bytes") }
    return text
  }

  /// An absolute path.
  func filePath() throws(DomainError) -> String {
    let path = try text(limit: 4095)
    guard path.hasPrefix("/") else { throw error("'\(path.prefix(80))' is not an absolute path") }
    return path
  }

  func error(attribute: String? = nil, _ explanation: String) -> DomainError {
    DomainError(element: path, attribute: attribute, line: element.line, explanation)
  }

  /// Whether a text holds letters, digits, '.', '_' and '-' alone: nothing that a command line takes apart.
  static func isPlain(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { $0.isASCIIAlphanumeric || [0x2D, 0x2E, 0x5F].contains($0) }
  }

  /// A number of decimal digits alone, or nil.
  static func number(_ text: String) -> Int64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int64(text)
  }
}
