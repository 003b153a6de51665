/// Reads the part of XML 1.0 that definitions need, strictly: elements, attributes, namespaces, text, comments, CDATA,
/// character references and the five predefined entities.
///
/// Document type declarations, other entities and processing instructions are refused, so that nothing is ever fetched
/// or expanded. The tree is bounded by `XMLReader.Limits`.
struct XMLReader {
  /// Bounds on what is read.
  enum Limits {
    static let documentBytes = 1 << 20
    static let depth = 32
    static let elements = 4096
    static let attributes = 64
  }

  private let bytes: [UInt8]
  private var index = 0
  private var line = 1
  private var elements = 0
  private var path: [String] = []

  /// The root element of a document.
  static func read(_ text: String) throws(DomainError) -> XMLElement {
    var reader = XMLReader(bytes: Array(text.utf8))
    guard reader.bytes.count <= Limits.documentBytes else {
      throw reader.error("the document has more than 1 MiB; shorten it")
    }
    return try reader.document()
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func document() throws(DomainError) -> XMLElement {
    if starts("\u{FEFF}") { advance(3) }
    if starts("<?xml"), let next = peek(5), Self.isSpace(next) { try declaration() }
    try misc()
    guard peek() == UInt8(ascii: "<") else { throw error("a definition begins with <domain>") }
    let root = try element(scope: ["xml": "http://www.w3.org/XML/1998/namespace"])
    try misc()
    guard index == bytes.count else { throw error("there is text after the end of the root element") }
    return root
  }

  private mutating func declaration() throws(DomainError) {
    let text = try take(until: "?>", "the XML declaration has no end").lowercased()
    if text.contains("encoding"), !text.contains("utf-8") {
      throw error("the encoding is not UTF-8; save the file as UTF-8")
    }
  }

  /// White space and comments between elements.
  private mutating func misc() throws(DomainError) {
    while true {
      skipSpace()
      if starts("<!--") {
        try comment()
      } else if starts("<!DOCTYPE") {
        throw error("a document type declaration is not allowed; remove it")
      } else if starts("<?") {
        throw error("processing instructions are not supported; remove it")
      } else {
        return
      }
    }
  }

  private mutating func comment() throws(DomainError) {
    advance(4)
    let text = try take(until: "-->", "a comment has no end")
    // XML 1.0, section 2.5: other readers would end, or refuse, the document there.
    guard !text.contains("--"), !text.hasSuffix("-") else { throw error("a comment must not contain '--'") }
  }

  private mutating func element(scope: [String: String]) throws(DomainError) -> XMLElement {
    let startLine = line
    let start = index
    guard path.count < Limits.depth else { throw error("elements are nested too deeply") }
    elements += 1
    guard elements <= Limits.elements else { throw error("there are too many elements") }
    advance(1)
    let tag = try name()
    path.append(tag)
    defer { path.removeLast() }
    let (attributes, scope, isEmpty) = try startTag(scope)
    let (space, local) = try resolve(tag, scope, isAttribute: false)
    var result = XMLElement(name: local, namespace: space, line: startLine)
    for (name, value) in attributes {
      let (space, local) = try resolve(name, scope, isAttribute: true)
      guard !result.attributes.contains(where: { $0.name == local && $0.namespace == space }) else {
        throw error("the attribute '\(name)' is there twice")
      }
      result.attributes.append(.init(name: local, namespace: space, value: value))
    }
    result.span = .init(start: start, contentStart: index, contentEnd: index, end: index)
    if !isEmpty { try content(of: &result, tag: tag, scope) }
    result.span.end = index
    return result
  }

  /// The rest of a start tag: its attributes, the namespaces in scope, and whether it has no content.
  private mutating func startTag(
    _ outer: [String: String]
  ) throws(DomainError) -> ([(String, String)], [String: String], Bool) {
    var scope = outer
    var attributes: [(String, String)] = []
    while true {
      let hadSpace = skipSpace()
      if starts("/>") {
        advance(2)
        return (attributes, scope, true)
      }
      if starts(">") {
        advance(1)
        return (attributes, scope, false)
      }
      guard hadSpace else { throw error("a space is missing between attributes") }
      let name = try name()
      skipSpace()
      guard starts("=") else { throw error("the attribute '\(name)' has no value") }
      advance(1)
      skipSpace()
      let value = try attributeValue(name)
      if name == "xmlns" {
        scope[""] = value
      } else if name.hasPrefix("xmlns:") {
        guard !value.isEmpty else { throw error("the namespace '\(name)' is empty") }
        scope[String(name.dropFirst(6))] = value
      } else {
        guard attributes.count < Limits.attributes else { throw error("there are too many attributes") }
        attributes.append((name, value))
      }
    }
  }

  private mutating func content(
    of element: inout XMLElement, tag: String, _ scope: [String: String]
  ) throws(DomainError) {
    var text: [UInt8] = []
    while let byte = peek() {
      if byte == UInt8(ascii: "&") {
        try reference(into: &text)
      } else if byte != UInt8(ascii: "<") {
        try character(into: &text)
      } else if starts("</") {
        element.span.contentEnd = index
        advance(2)
        let end = try name()
        skipSpace()
        guard end == tag, starts(">") else {
          throw error("</\(end)> closes what <\(tag)> on line \(element.line) opened")
        }
        advance(1)
        element.text = String(decoding: text, as: UTF8.self)
        return
      } else if starts("<!--") {
        try comment()
      } else if starts("<![CDATA[") {
        advance(9)
        text += Array(try take(until: "]]>", "a CDATA section has no end").utf8)
      } else if starts("<!") {
        throw error("declarations are not allowed inside elements")
      } else if starts("<?") {
        throw error("processing instructions are not supported; remove it")
      } else {
        element.children.append(try self.element(scope: scope))
      }
    }
    throw error("<\(tag)> on line \(element.line) is not closed")
  }

  private mutating func attributeValue(_ name: String) throws(DomainError) -> String {
    guard let quote = peek(), quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw error("the value of the attribute '\(name)' is not in quotes")
    }
    advance(1)
    var value: [UInt8] = []
    while let byte = peek() {
      if byte == quote {
        advance(1)
        return String(decoding: value, as: UTF8.self)
      }
      if byte == UInt8(ascii: "<") { throw error("the value of the attribute '\(name)' holds '<'; write &lt;") }
      if byte == UInt8(ascii: "&") {
        try reference(into: &value)
      } else if Self.isSpace(byte) {
        value.append(0x20)
        advance(1)
      } else {
        try character(into: &value)
      }
    }
    throw error("the value of the attribute '\(name)' has no end")
  }

  /// A character or entity reference (XML 1.0, section 4.1).
  private mutating func reference(into text: inout [UInt8]) throws(DomainError) {
    advance(1)
    let start = index
    while let byte = peek(), byte != UInt8(ascii: ";"), index - start < 12 { advance(1) }
    guard starts(";") else { throw error("'&' begins a reference that has no end; write &amp; for '&'") }
    let name = String(decoding: bytes[start..<index], as: UTF8.self)
    advance(1)
    switch name {
    case "lt": text.append(UInt8(ascii: "<"))
    case "gt": text.append(UInt8(ascii: ">"))
    case "amp": text.append(UInt8(ascii: "&"))
    case "apos": text.append(UInt8(ascii: "'"))
    case "quot": text.append(UInt8(ascii: "\""))
    default:
      let code =
        name.hasPrefix("#x")
        ? UInt32(name.dropFirst(2), radix: 16) : name.hasPrefix("#") ? UInt32(name.dropFirst(1)) : nil
      guard let code, let scalar = Unicode.Scalar(code), code >= 0x20 || [9, 10, 13].contains(code) else {
        throw error("the entity '&\(name);' is not allowed; only characters and the predefined five are")
      }
      text += Array(String(Character(scalar)).utf8)
    }
  }

  private mutating func character(into text: inout [UInt8]) throws(DomainError) {
    let byte = bytes[index]
    guard byte >= 0x20 || [9, 10, 13].contains(byte) else { throw error("control characters are not allowed") }
    text.append(byte)
    advance(1)
  }

  private func resolve(
    _ name: String, _ scope: [String: String], isAttribute: Bool
  ) throws(DomainError) -> (namespace: String?, local: String) {
    let parts = name.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }) else { throw error("'\(name)' is not a name") }
    if parts.count == 1 {
      let space = isAttribute ? nil : scope[""]
      return (space == "" ? nil : space, name)
    }
    guard let space = scope[String(parts[0])] else {
      throw error("the namespace prefix '\(parts[0])' is not declared; add xmlns:\(parts[0])='...'")
    }
    return (space, String(parts[1]))
  }

  private mutating func name() throws(DomainError) -> String {
    let start = index
    while let byte = peek(), byte.isNameByte(first: index == start) { advance(1) }
    guard index > start, index - start <= 128 else { throw error("a name is expected here") }
    return String(decoding: bytes[start..<index], as: UTF8.self)
  }

  private mutating func take(until end: StaticString, _ complaint: String) throws(DomainError) -> String {
    let start = index
    while index < bytes.count {
      if starts(end) {
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        advance(end.utf8CodeUnitCount)
        return text
      }
      advance(1)
    }
    throw error(complaint)
  }

  private func peek(_ distance: Int = 0) -> UInt8? {
    index + distance < bytes.count ? bytes[index + distance] : nil
  }

  private func starts(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard bytes.count - index >= count else { return false }
    return text.withUTF8Buffer { buffer in bytes[index..<index + count].elementsEqual(buffer) }
  }

  private mutating func advance(_ count: Int) {
    for _ in 0..<count where index < bytes.count {
      if bytes[index] == 0x0A { line += 1 }
      index += 1
    }
  }

  @discardableResult private mutating func skipSpace() -> Bool {
    let start = index
    while let byte = peek(), Self.isSpace(byte) { advance(1) }
    return index > start
  }

  private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(byte) }

  private func error(_ explanation: String) -> DomainError {
    DomainError(element: path.joined(separator: "/"), line: line, explanation)
  }
}
