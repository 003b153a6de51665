import RPC
import Testing

@Suite struct JSONTests {
  @Test(
    arguments: [
      ("null", JSONValue.null), ("true", true), ("false", false), ("0", 0), ("-0", 0), ("-17", -17),
      ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
      ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1.5", .number(1.5)), ("1e3", .number(1000)),
      ("1E-2", .number(0.01)), ("\"\"", ""), ("\"a\\u00e4\\ud83d\\ude00\\n\\/\"", "aä😀\n/"), ("\"ä😀\"", "ä😀"),
      ("[]", []),
      (" [ 1 , [ ] , { } ] ", [1, [], [:]]), ("{\"a\":1,\"b\":{\"c\":[null]}}", ["a": 1, "b": ["c": [nil]]]),
      ("\"\\u0000\"", "\0"),
    ] as [(String, JSONValue)])
  func `a text is read as its value`(_ text: String, _ value: JSONValue) throws {
    #expect(try JSON.parse(text) == value)
  }

  @Test(arguments: [
    "", " ", "nul", "truefalse", "01", "-", "-a", "1.", ".5", "1e", "1e+", "+1", "NaN", "Infinity", "1e400", "-1e999",
    "\"",
    "\"\\", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\x\"", "\"\u{1}\"", "\"a\nb\"", "[",
    "[1", "[1,",
    "[1,]", "[,]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}",
    "{\"a\":1,\"a\":2}", "{\"a\" 1}",
    "1 1", "]", "}", "'a'", "// a\n1", "\u{FEFF}1", "{\"a\":1,\"\\u0061\":2}",
  ])
  func `a text that is not strict JSON is refused`(_ text: String) {
    #expect(throws: JSONError.self) { try JSON.parse(text) }
  }

  @Test(
    arguments: [
      [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
      [0x22, 0xF5, 0x80, 0x80, 0x80, 0x22],
      [0x22, 0xC3, 0x22], [0x22, 0x5C, 0x6E, 0xC3, 0x22], [0xEF, 0xBB, 0xBF, 0x31], [0x00], [0x31, 0x00],
    ] as [[UInt8]])
  func `bytes that are not UTF-8 are refused`(_ bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try JSON.parse(bytes) }
  }

  @Test func `as many levels as allowed are read and one more is refused`() throws {
    let levels = { (count: Int) in String(repeating: "[", count: count) + String(repeating: "]", count: count) }
    _ = try JSON.parse(levels(JSON.depthLimit))
    #expect(throws: JSONError.self) { try JSON.parse(levels(JSON.depthLimit + 1)) }
    #expect(throws: JSONError.self) { try JSON.parse(String(repeating: "[", count: 1_000_000)) }
    #expect(throws: JSONError.self) { try JSON.parse(String(repeating: "{\"a\":", count: 1_000_000)) }
  }

  @Test func `a number of too many digits is refused`() {
    #expect(throws: JSONError.self) { try JSON.parse(String(repeating: "1", count: JSON.numberLimit + 1)) }
  }

  @Test func `a text of too many values is refused`() {
    let text = "[" + String(repeating: "0,", count: JSON.valueLimit) + "0]"
    #expect(throws: JSONError.self) { try JSON.parse(text) }
  }

  @Test func `an object of many members finds a name that occurs twice`() throws {
    let members = (0..<1_000).map { "\"\($0)\":0" }.joined(separator: ",")
    #expect(try JSON.parse("{\(members)}").object?.members.count == 1_000)
    let error = #expect(throws: JSONError.self) { try JSON.parse("{\(members),\"500\":1}") }
    #expect(error?.message == "the name \"500\" occurs twice in one object")
  }

  @Test func `an error tells the byte`() {
    let error = #expect(throws: JSONError.self) { try JSON.parse("{\"a\":1,\"b\":x}") }
    #expect(error?.description == "expected a value at byte 11")
  }

  @Test func `a value is written compactly, in its order`() {
    let value: JSONValue = ["b": [1, -2, .number(0.5), true, nil], "a": "ä\"\\\n\u{1}\u{7F}/", "": [:]]
    #expect(JSON.text(value) == #"{"b":[1,-2,0.5,true,null],"a":"ä\"\\\n\u0001\#u{7F}/","":{}}"#)
  }

  @Test func `a number that JSON does not have is written as null`() {
    #expect(JSON.text([.number(.nan), .number(.infinity), .number(1e300)]) == "[null,null,1e+300]")
  }

  @Test func `a value is written for people with a line for each member`() {
    #expect(
      JSON.indented(["a": [1, 2], "b": [], "c": [:]])
        == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": [],\n  \"c\": {}\n}")
  }

  @Test func `what is written is read as the same value`() throws {
    var generator = SplitMix(seed: 1)
    for _ in 0..<2_000 {
      let value = JSONValue.random(depth: 4, using: &generator)
      #expect(try JSON.parse(JSON.bytes(value)) == value)
    }
  }

  @Test func `texts with random damage are read or refused, and never trap`() {
    var generator = SplitMix(seed: 2)
    var refused = 0
    for _ in 0..<20_000 {
      var bytes = JSON.bytes(.random(depth: 3, using: &generator))
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 0...bytes.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes.insert(.random(in: .min ... .max, using: &generator), at: place)
        case 1: if place < bytes.count { bytes.remove(at: place) }
        case 2: bytes.removeSubrange(place...)
        default:
          let words = ["\\u", "\\ud83d", "{", "[", "\"", "1e99", ",", ":", "-", "\u{80}", "\\"]
          bytes.insert(contentsOf: (words.randomElement(using: &generator) ?? "").utf8, at: place)
        }
      }
      do {
        let value = try JSON.parse(bytes)
        // What is accepted has one meaning.
        #expect(try JSON.parse(JSON.bytes(value)) == value)
      } catch {
        refused += 1
      }
    }
    #expect(refused > 5_000)
  }

  @Test func `random bytes are read or refused, and never trap`() {
    var generator = SplitMix(seed: 3)
    for _ in 0..<5_000 {
      let count = Int.random(in: 0...64, using: &generator)
      let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
      _ = try? JSON.parse(bytes)
    }
  }
}

/// A generator that gives the same numbers for the same seed, on every platform.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

extension JSONValue {
  static func random(depth: Int, using generator: inout SplitMix) -> JSONValue {
    switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &generator) {
    case 0: return .null
    case 1: return .bool(.random(using: &generator))
    case 2: return .integer(.random(in: .min ... .max, using: &generator))
    case 3: return .integer(.random(in: -10...10, using: &generator))
    case 4: return .number(.random(in: -1e9...1e9, using: &generator))
    case 5: return .string(randomText(using: &generator))
    case 6:
      return .array(
        (0..<Int.random(in: 0...4, using: &generator)).map { _ in random(depth: depth - 1, using: &generator) })
    default:
      var object = JSONObject()
      for _ in 0..<Int.random(in: 0...4, using: &generator) {
        object[randomText(using: &generator)] = random(depth: depth - 1, using: &generator)
      }
      return .object(object)
    }
  }

  private static func randomText(using generator: inout SplitMix) -> String {
    let characters = Array("abcXYZ019 \"\\/\n\t\u{1}äß€😀\u{2028}")
    return String(
      (0..<Int.random(in: 0...8, using: &generator)).map { _ in characters.randomElement(using: &generator) ?? "a" })
  }
}
