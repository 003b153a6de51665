/// One element of an XML document, with the line on which its start tag begins.
///
/// Namespaces are resolved: `name` is the local name, `namespace` the identifier of its namespace or nil. Attributes
/// that declare namespaces are not listed. `text` is the element's own text without that of its children. `span` tells where
/// it stands in the document's bytes, so that an edit leaves everything else as it was written.
public struct XMLElement: Sendable, Equatable {
  public struct Attribute: Sendable, Equatable {
    public var name: String
    public var namespace: String?
    public var value: String
  }

  /// Offsets into the document's UTF-8.
  public struct Span: Sendable, Equatable {
    /// Of the `<` of its start tag.
    public var start = 0
    /// Behind the `>` of its start tag.
    public var contentStart = 0
    /// Of the `<` of its end tag; that of `contentStart` where there is none (`<a/>`).
    public var contentEnd = 0
    /// Behind the element.
    public var end = 0
    /// Whether it was written as `<a/>`.
    public var isEmptyTag: Bool { end == contentStart }
  }

  public var name: String
  public var namespace: String?
  public var line: Int
  public var span = Span()
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

extension UInt8 {
  /// Whether a name may hold this byte; every byte of a character outside ASCII may.
  func isNameByte(first: Bool) -> Bool {
    switch self {
    case 0x41...0x5A, 0x61...0x7A, 0x5F, 0x3A, 0x80...0xFF: true
    case 0x30...0x39, 0x2D, 0x2E: !first
    default: false
    }
  }
}
