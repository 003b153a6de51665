/// Puts what the host decided into the text of a definition, and leaves everything else as it was written: comments,
/// order, white space, quotes.
///
/// libvirt shows a definition with the UUID and the addresses that it drew; so do we, at the same places.
public enum DefinitionText {
  /// The text with `<uuid>` behind `<name>`, where it has none, and with a `<mac>` in each interface that has none.
  ///
  /// - Parameters:
  ///   - xml: a definition that `Domain(xml:)` accepts.
  ///   - uuid: the UUID in canonical form.
  ///   - addresses: for each interface in order; the first ones when there are more.
  /// - Throws: why it can no longer be read.
  public static func filled(_ xml: String, uuid: String, addresses: [String]) throws(DomainError) -> String {
    let root = try XMLReader.read(xml)
    let bytes = Array(xml.utf8)
    var edits: [Edit] = []
    if let name = root.child("name"), root.child("uuid") == nil {
      let text = "\(space(before: name.span.start, bytes))<uuid>\(uuid)</uuid>"
      edits.append(Edit(range: name.span.end..<name.span.end, text: text))
    }
    let interfaces = root.child("devices")?.children.filter { $0.name == "interface" && $0.namespace == nil } ?? []
    for (interface, address) in zip(interfaces, addresses) where interface.child("mac") == nil {
      edits.append(insert("<mac address='\(address)'/>", into: interface, bytes))
    }
    return apply(edits, to: bytes)
  }

  private struct Edit {
    var range: Range<Int>
    var text: String
  }

  private static func apply(_ edits: [Edit], to bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    var done = 0
    for edit in edits.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
      result += bytes[done..<edit.range.lowerBound]
      result += Array(edit.text.utf8)
      done = edit.range.upperBound
    }
    return String(decoding: result + bytes[done...], as: UTF8.self)
  }

  /// An element as the first child of another, indented as its siblings are, or would be.
  private static func insert(_ child: String, into parent: XMLElement, _ bytes: [UInt8]) -> Edit {
    let span = parent.span
    let outer = space(before: span.start, bytes)
    let inner = outer.isEmpty ? "" : outer + "  "
    if span.isEmptyTag {
      // The end of `<interface type='user' />`, with the space before it.
      var slash = span.end - 2
      while slash > span.start, isSpace(bytes[slash - 1]) { slash -= 1 }
      return Edit(range: slash..<span.end, text: ">\(inner)\(child)\(outer)</\(parent.name)>")
    }
    let next = bytes[span.contentStart..<span.contentEnd].prefix(while: isSpace)
    // Nothing but space between its tags: that of the end tag is no child's indentation.
    let isHollow = span.contentStart + next.count == span.contentEnd
    let before = isHollow ? (next.isEmpty ? "" : inner) : String(decoding: next, as: UTF8.self)
    return Edit(range: span.contentStart..<span.contentStart, text: before + child)
  }

  /// The line break and indentation before an offset; empty where something else stands before it on its line.
  private static func space(before offset: Int, _ bytes: [UInt8]) -> String {
    var start = offset
    while start > 0, bytes[start - 1] == 0x20 || bytes[start - 1] == 0x09 { start -= 1 }
    guard start > 0, bytes[start - 1] == 0x0A else { return "" }
    start -= start > 1 && bytes[start - 2] == 0x0D ? 2 : 1
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  private static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(byte) }
}

extension XMLElement {
  /// The first child of a name, without namespace.
  fileprivate func child(_ name: String) -> XMLElement? {
    children.first { $0.name == name && $0.namespace == nil }
  }
}
