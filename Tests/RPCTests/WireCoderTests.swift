import Primitives
import RPC
import Testing

/// Something with a member of every sort.
private struct Disk: WireObject, Equatable {
  var name: VolumeName
  var sizeBytes: Int64
  var shares: Int?
  var kind: Kind?
  enum Kind: String, WireValue, CaseIterable { case fast, slow, unknown }

  enum CodingKeys: CodingKey, CaseIterable { case name, sizeBytes, shares, kind }
  static func field(_ key: CodingKeys) -> Field<Disk> {
    switch key {
    case .name: Field(\.name, "Its name.")
    case .sizeBytes: Field(\.sizeBytes, "Its size.")
    case .shares: Field(\.shares, "Its shares.", in: 1...10)
    case .kind: Field(\.kind, "What it is.")
    }
  }
}

private struct Everything: WireObject, Equatable {
  var disks: [Disk]
  var facts: [String: JSONValue]
  var ratio: Double
  var isOn: Bool
  var key: RequestKey?
  var module: ModuleID?
  var generation: GenerationID?
  var main: Disk?

  enum CodingKeys: CodingKey, CaseIterable { case disks, facts, ratio, isOn, key, module, generation, main }
  static func field(_ key: CodingKeys) -> Field<Everything> {
    switch key {
    case .disks: Field(\.disks, "Disks.")
    case .facts: Field(\.facts, "Facts.")
    case .ratio: Field(\.ratio, "Ratio.")
    case .isOn: Field(\.isOn, "Switch.")
    case .key: Field(\.key, "Key.")
    case .module: Field(\.module, "Module.")
    case .generation: Field(\.generation, "Generation.")
    case .main: Field(\.main, "The first.")
    }
  }
}

@Suite struct WireCoderTests {
  private let value = Everything(
    disks: [Disk(name: VolumeName(unchecked: "a"), sizeBytes: .max, shares: 1, kind: .fast)],
    facts: ["z": 1, "a": ["b", nil]], ratio: 0.25, isOn: true,
    key: RequestKey(rawValue: "17-abcdefgh"), module: .cpu1, generation: nil, main: nil)
  private let text =
    #"{"disks":[{"name":"a","sizeBytes":9223372036854775807,"shares":1,"kind":"fast"}],"facts":{"a":["b",null],"z":1},"#
    + #""ratio":0.25,"isOn":true,"key":"17-abcdefgh","module":"cpu1"}"#

  @Test func `members are written in their order, dictionaries sorted, and nil is left out`() throws {
    #expect(JSON.text(try WireCoder.encode(value)) == text)
  }

  @Test func `what was encoded decodes as the same`() throws {
    let json = try JSON.parse(text)
    #expect(try WireCoder.decode(Everything.self, from: json, unknownMembers: .refuse) == value)
  }

  @Test func `a number that JSON does not have cannot be encoded`() {
    var value = value
    value.ratio = .nan
    let error = #expect(throws: RPCError.self) { try WireCoder.encode(value) }
    #expect(error?.message == "ratio: nan cannot be written as JSON")
  }

  /// The message with which parameters are refused when a part of them is replaced.
  private func refusal(_ part: String, _ replacement: String) throws -> String? {
    let json = try JSON.parse(text.replacing(part, with: replacement))
    let error = #expect(throws: RPCError.self, "\(replacement)") {
      try WireCoder.decode(Everything.self, from: json, unknownMembers: .refuse)
    }
    #expect(error?.matches(CommonFailure.invalidParams) == true)
    return error?.message
  }

  @Test func `an error names the member and what it should be`() throws {
    #expect(try refusal("9223372036854775807", "\"1\"") == "params.disks[0].sizeBytes: expected an integer")
    #expect(try refusal("9223372036854775807", "1.5") == "params.disks[0].sizeBytes: expected an integer")
    #expect(
      try refusal("9223372036854775807", "9223372036854775808")
        == "params.disks[0].sizeBytes: expected an integer from -9223372036854775808 to 9223372036854775807")
    #expect(try refusal(#""isOn":true"#, #""isOn":1"#) == "params.isOn: expected true or false")
    #expect(try refusal(#""isOn":true,"#, "") == "params.isOn: missing")
    #expect(try refusal(#""isOn":true"#, #""isOn":null"#) == "params.isOn: expected true or false")
    #expect(try refusal("0.25", "\"a\"") == "params.ratio: expected a number")
    #expect(try refusal(#"{"a":["b",null],"z":1}"#, "[]") == "params.facts: expected an object")
    #expect(try refusal(#""name":"a""#, #""name":7"#) == "params.disks[0].name: expected a string")
    #expect(try refusal(#"[{"name":"a""#, #"[7,{"name":"a""#) == "params.disks[0]: expected an object")
  }

  @Test func `a name or key that is refused tells its rule`() throws {
    #expect(
      try refusal(#""name":"a""#, #""name":"../a""#)
        == #"params.disks[0].name: "../a" is refused. A volume name has 1 to 63 of letters, digits, '.', '_' and '-', "#
        + "and begins with a letter or a digit.")
    #expect(
      try refusal("17-abcdefgh", "x")
        == #"params.key: "x" is not a request key: the Unix time in milliseconds, '-', and 8 to 32 of a-z, 0-9 and '-'"#
    )
    #expect(try refusal("cpu1", "cpu7") == #"params.module: "cpu7" is not one of cpu0, cpu1, io0, io1"#)
    #expect(
      try refusal(#""isOn""#, #""generation":"F","isOn""#)
        == #"params.generation: "F" is not 32 hexadecimal digits in lower case"#)
  }

  @Test func `a range is checked, also inside of others`() throws {
    #expect(try refusal(#""shares":1"#, #""shares":11"#) == "params.disks[0].shares: 11 is not between 1 and 10")
    #expect(
      try refusal(#""isOn""#, #""main":{"name":"b","sizeBytes":1,"shares":0},"isOn""#)
        == "params.main.shares: 0 is not between 1 and 10")
  }

  @Test func `an unknown member of parameters is refused by name, and of a result dropped`() throws {
    #expect(
      try refusal(#""shares":1"#, #""share":1"#)
        == "params.disks[0].share: there is no such member; it has name, sizeBytes, shares, kind")
    let json = try JSON.parse(text.replacing("{\"disks\"", with: "{\"new\":{},\"disks\""))
    #expect(try WireCoder.decode(Everything.self, from: json, unknownMembers: .ignore) == value)
    let nothing = try JSON.parse(#"{"a":1}"#)
    let error = #expect(throws: RPCError.self) {
      try WireCoder.decode(Nothing.self, from: nothing, unknownMembers: .refuse)
    }
    #expect(error?.message == "params.a: there is no such member; it has none")
  }

  @Test func `the error's data names the member`() throws {
    let error = #expect(throws: RPCError.self) {
      try WireCoder.decode(Disk.self, from: [:], unknownMembers: .refuse, name: "host.json")
    }
    #expect(error?.data["member"] == "host.json.name")
  }

  @Test func `a newer service's word becomes unknown where there is such a case, and an error where not`() throws {
    let json = try JSON.parse(text.replacing("fast", with: "optical"))
    #expect(try WireCoder.decode(Everything.self, from: json, unknownMembers: .ignore).disks[0].kind == .unknown)
    #expect(throws: RPCError.self) { try WireCoder.decode(Everything.self, from: json, unknownMembers: .refuse) }
    let error = #expect(throws: RPCError.self) {
      try WireCoder.decode([ModuleID].self, from: ["cpu0", "cpu7"], unknownMembers: .ignore, name: "result")
    }
    #expect(error?.matches(CommonFailure.answerNotUnderstood) == true)
    #expect(error?.message == #"result[1]: "cpu7" is not one of cpu0, cpu1, io0, io1"#)
  }

  @Test func `an optional member may be null`() throws {
    let disk: JSONValue = ["name": "a", "sizeBytes": 1, "shares": nil, "kind": nil]
    #expect(try WireCoder.decode(Disk.self, from: disk, unknownMembers: .refuse).shares == nil)
  }

  @Test func `an integer may be written with a fraction of zero`() throws {
    let disk = try JSON.parse(#"{"name":"a","sizeBytes":5.0}"#)
    #expect(try WireCoder.decode(Disk.self, from: disk, unknownMembers: .refuse).sizeBytes == 5)
  }

  @Test func `an object with very many members is decoded in time`() throws {
    let members = (0..<100_000).map { JSONObject.Member("\($0)", 1) }
    let decoded = try WireCoder.decode(
      [String: Int].self, from: .object(JSONObject(uniqueMembers: members)), unknownMembers: .refuse)
    #expect(decoded.count == 100_000)
  }

  @Test func `random JSON is decoded or refused, and never traps`() {
    var generator = SplitMix(seed: 4)
    for _ in 0..<5_000 {
      var object = JSONObject()
      for key in Everything.CodingKeys.allCases where Bool.random(using: &generator) {
        object[key.stringValue] = .random(depth: 3, using: &generator)
      }
      _ = try? WireCoder.decode(Everything.self, from: .object(object), unknownMembers: .ignore)
    }
  }
}
