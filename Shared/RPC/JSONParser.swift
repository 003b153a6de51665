/// A recursive-descent parser over contiguous bytes. Every access is behind a comparison with `end`.
struct JSONParser {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let end: Int
  private var at = 0
  private var valuesLeft = JSON.valueLimit

  init(_ bytes: UnsafeBufferPointer<UInt8>) {
    self.bytes = bytes
    end = bytes.count
  }

  mutating func document() throws(JSONError) -> JSONValue {
    let value = try value(depth: 0)
    skipSpace()
    guard at == end else { throw error("expected the end of the text") }
    return value
  }

  private func error(_ message: String) -> JSONError { JSONError(offset: at, message: message) }

  private mutating func skipSpace() {
    while at < end, isSpace(bytes[at]) { at += 1 }
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

  private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
    skipSpace()
    guard at < end else { throw error("the text ended where a value was expected") }
    guard valuesLeft > 0 else { throw error("more than \(JSON.valueLimit) values") }
    valuesLeft -= 1
    switch bytes[at] {
    case UInt8(ascii: "{"): return try object(depth: depth + 1)
    case UInt8(ascii: "["): return try array(depth: depth + 1)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    case UInt8(ascii: "-"), 0x30...0x39: return try number()
    default: throw error("expected a value")
    }
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
    let count = word.utf8CodeUnitCount
    guard end - at >= count else { throw error("expected \(word)") }
    for index in 0..<count where bytes[at + index] != word.utf8Start[index] { throw error("expected \(word)") }
    at += count
    return value
  }

  // MARK: Arrays and objects

  private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
    guard depth <= JSON.depthLimit else { throw error("more than \(JSON.depthLimit) levels") }
    at += 1
    var elements: [JSONValue] = []
    skipSpace()
    if take(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value(depth: depth))
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      if take(UInt8(ascii: "]")) { return .array(elements) }
      throw error("expected ',' or ']'")
    }
  }

  private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
    guard depth <= JSON.depthLimit else { throw error("more than \(JSON.depthLimit) levels") }
    at += 1
    var members = MemberList()
    skipSpace()
    if take(UInt8(ascii: "}")) { return .object(JSONObject()) }
    while true {
      skipSpace()
      guard at < end, bytes[at] == UInt8(ascii: "\"") else { throw error("expected a member's name") }
      let begin = at
      let name = try string()
      skipSpace()
      guard take(UInt8(ascii: ":")) else { throw error("expected ':'") }
      let value = try value(depth: depth)
      guard members.append(name, value) else {
        throw JSONError(offset: begin, message: "the name \"\(name.prefix(64))\" occurs twice in one object")
      }
      skipSpace()
      if take(UInt8(ascii: ",")) { continue }
      if take(UInt8(ascii: "}")) { return .object(JSONObject(uniqueMembers: members.members)) }
      throw error("expected ',' or '}'")
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard at < end, bytes[at] == byte else { return false }
    at += 1
    return true
  }

  // MARK: Strings

  /// The string whose opening quote is the current byte.
  private mutating func string() throws(JSONError) -> String {
    at += 1
    let begin = at
    var ascii = true
    while at < end {
      let byte = bytes[at]
      if byte == UInt8(ascii: "\"") {
        let text = try text(begin..<at, ascii: ascii)
        at += 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try stringWithEscapes(from: begin) }
      if byte < 0x20 { throw error("a control character inside a string") }
      if byte >= 0x80 { ascii = false }
      at += 1
    }
    throw error("the text ended inside a string")
  }

  private func text(_ range: Range<Int>, ascii: Bool) throws(JSONError) -> String {
    let slice = UnsafeBufferPointer(rebasing: bytes[range])
    if ascii { return String(decoding: slice, as: UTF8.self) }
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw JSONError(offset: range.lowerBound, message: "a string that is not UTF-8")
    }
    return text
  }

  private mutating func stringWithEscapes(from begin: Int) throws(JSONError) -> String {
    var unescaped = Array(bytes[begin..<at])
    while at < end {
      let byte = bytes[at]
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: unescaped, as: UTF8.self) else {
          throw JSONError(offset: begin, message: "a string that is not UTF-8")
        }
        return text
      case UInt8(ascii: "\\"): try escape(into: &unescaped)
      case 0..<0x20:
        at -= 1
        throw error("a control character inside a string")
      default: unescaped.append(byte)
      }
    }
    throw error("the text ended inside a string")
  }

  private mutating func escape(into unescaped: inout [UInt8]) throws(JSONError) {
    guard at < end else { throw error("the text ended inside a string") }
    let byte = bytes[at]
    at += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): unescaped.append(byte)
    case UInt8(ascii: "b"): unescaped.append(0x08)
    case UInt8(ascii: "f"): unescaped.append(0x0C)
    case UInt8(ascii: "n"): unescaped.append(0x0A)
    case UInt8(ascii: "r"): unescaped.append(0x0D)
    case UInt8(ascii: "t"): unescaped.append(0x09)
    case UInt8(ascii: "u"): UTF8.encode(try scalar()).map { unescaped.append(contentsOf: $0) }
    default:
      at -= 1
      throw error("an unknown escape in a string")
    }
  }

  /// The scalar after `\u`, two escapes where the first is a leading surrogate.
  private mutating func scalar() throws(JSONError) -> Unicode.Scalar {
    let first = try fourDigits()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard (0xD800..<0xDC00).contains(first), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else {
      throw error("half of a surrogate pair in a string")
    }
    let second = try fourDigits()
    let combined = 0x10000 + ((UInt32(first) & 0x3FF) << 10) + (UInt32(second) & 0x3FF)
    guard (0xDC00..<0xE000).contains(second), let scalar = Unicode.Scalar(combined) else {
      throw error("half of a surrogate pair in a string")
    }
    return scalar
  }

  private mutating func fourDigits() throws(JSONError) -> UInt16 {
    guard end - at >= 4 else { throw error("expected four hexadecimal digits") }
    var number: UInt16 = 0
    for _ in 0..<4 {
      let digit: UInt8
      switch bytes[at] {
      case 0x30...0x39: digit = bytes[at] - 0x30
      case 0x41...0x46: digit = bytes[at] - 0x37
      case 0x61...0x66: digit = bytes[at] - 0x57
      default: throw error("expected four hexadecimal digits")
      }
      number = number << 4 | UInt16(digit)
      at += 1
    }
    return number
  }

  // MARK: Numbers

  private mutating func number() throws(JSONError) -> JSONValue {
    let begin = at
    let negative = take(UInt8(ascii: "-"))
    guard at < end, isDigit(bytes[at]) else { throw error("expected a digit") }
    if bytes[at] == 0x30, at + 1 < end, isDigit(bytes[at + 1]) { throw error("a number that begins with 0") }
    var exact: Int64? = 0
    while at < end, isDigit(bytes[at]) {
      exact = exact.flatMap { appending(bytes[at] - 0x30, to: $0, negative: negative) }
      at += 1
    }
    var isInteger = true
    if take(UInt8(ascii: ".")) {
      isInteger = false
      try digits()
    }
    if at < end, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      at += 1
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      try digits()
    }
    if isInteger, let exact { return .integer(exact) }
    return .number(try double(begin..<at))
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  private mutating func digits() throws(JSONError) {
    guard at < end, isDigit(bytes[at]) else { throw error("expected a digit") }
    while at < end, isDigit(bytes[at]) { at += 1 }
  }

  /// The digit after a number's others, or nil where the number does not fit.
  private func appending(_ digit: UInt8, to number: Int64, negative: Bool) -> Int64? {
    let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
    if overflow { return nil }
    let (sum, overflow2) =
      negative ? tens.subtractingReportingOverflow(Int64(digit)) : tens.addingReportingOverflow(Int64(digit))
    return overflow2 ? nil : sum
  }

  private func double(_ range: Range<Int>) throws(JSONError) -> Double {
    let text = String(decoding: UnsafeBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    guard range.count <= JSON.numberLimit else {
      throw JSONError(offset: range.lowerBound, message: "a number of more than \(JSON.numberLimit) characters")
    }
    guard let number = Double(text), number.isFinite else {
      throw JSONError(offset: range.lowerBound, message: "a number that is too large")
    }
    return number
  }
}

/// Members while they are read. Beyond a few names, a set tells whether one is new.
private struct MemberList {
  private(set) var members: [JSONObject.Member] = []
  private var names: Set<String> = []
  private static let few = 16

  mutating func append(_ name: String, _ value: JSONValue) -> Bool {
    if members.count < Self.few {
      guard !members.contains(where: { $0.name == name }) else { return false }
    } else {
      if names.isEmpty { names = Set(members.map(\.name)) }
      guard names.insert(name).inserted else { return false }
    }
    if members.isEmpty { members.reserveCapacity(4) }
    members.append(JSONObject.Member(name, value))
    return true
  }
}
