/// One element of an XML document, with the line on which its start tag begins.
///
/// Namespaces are resolved: `name` is the local name, `namespace` the identifier of its namespace or nil. Attributes
/// that declare namespaces are not listed. `text` is the element's own text without that of its children.
public struct XMLElement: Sendable, Equatable {
  public struct Attribute: Sendable, Equatable {
    public var name: String
    public var namespace: String?
    public var value: String
  }

  public var name: String
  public var namespace: String?
  public var line: Int
  public var attributes: [Attribute] = []
  public var children: [XMLElement] = []
  public var text = ""

  /// The value of an attribute without namespace.
  public func attribute(_ name: String) -> String? {
    attributes.first { $0.name == name && $0.namespace == nil }?.value
  }

  /// The element's text without white space at both ends.
  public var trimmedText: String {
    let scalars = text.unicodeScalars
    guard let first = scalars.firstIndex(where: { !$0.isXMLSpace }),
      let last = scalars.lastIndex(where: { !$0.isXMLSpace })
    else { return "" }
    return String(scalars[first...last])
  }
}

extension Unicode.Scalar {
  /// Whether XML counts this as white space (XML 1.0, production 3).
  var isXMLSpace: Bool { self == " " || self == "\n" || self == "\t" || self == "\r" }
}
