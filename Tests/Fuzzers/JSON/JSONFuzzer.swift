import FuzzSupport
import RPC

/// Texts that are JSON, or not; what is read means the same after it was written.
@main enum JSONFuzzer: Fuzzer {
  static func seeds() -> [[UInt8]] {
    [
      "null", "[true,false]", "-0", "9223372036854775808", "1.5e-3", #""a\u00e4\ud83d\ude00\n\/""#,
      #"{"a":1,"b":{"c":[null,-17]},"":[]}"#, #" [ 1 , [ ] , { } ] "#, #"{"a":1,"\u0061":2}"#, #""\ud800""#, "1e400",
    ].map { Array($0.utf8) }
  }

  static func test(_ input: [UInt8]) throws {
    let value = try JSON.parse(input)
    require((try? JSON.parse(JSON.bytes(value))) == value, "JSON that was written is read as the same")
    require((try? JSON.parse(JSON.indented(value))) == value, "JSON for people is read as the same")
  }
}
