import FuzzSupport
import Primitives
import RPC

/// Names and identifiers that users type: what is accepted is safe as a file name and on a command line.
@main enum NamesFuzzer: Fuzzer {
  static func seeds() -> [[UInt8]] {
    [
      "a", "db-1.main_2", "..", "-rf", "a/b", "ä", String(repeating: "z", count: 63), "cpu0", "io1",
      "00112233445566778899aabbccddeeff", "1700000000000-abcdefgh", "999999999999999-zzzzzzzz-0", "0-00000000",
    ].map { Array($0.utf8) }
  }

  static func test(_ input: [UInt8]) {
    let text = String(decoding: input, as: UTF8.self)
    name(VolumeName.self, text)
    name(VMName.self, text)
    name(ImageName.self, text)
    name(CheckpointName.self, text)
    name(SnapshotName.self, text)
    identifier(GenerationID.self, text)
    identifier(RequestKey.self, text)
    identifier(ModuleID.self, text)
    identifier(LegID.self, text)
    identifier(ServiceName.self, text)
    if let key = RequestKey(rawValue: text) { require(key.millisecondsSinceEpoch >= 0, "a time since 1970") }
    if let volume = VolumeName(rawValue: text) { require(volume.description == text, "a name is told as it was typed") }
  }

  private static func name<Name: UserName>(_ type: Name.Type, _ text: String) {
    guard let name = identifier(type, text) else { return }
    let bytes = Array(name.rawValue.utf8)
    require((1...63).contains(bytes.count), "\(text) has 1 to 63 bytes")
    require(bytes[0] != UInt8(ascii: ".") && bytes[0] != UInt8(ascii: "-"), "\(text) is no option and not hidden")
    require(bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }, "\(text) is part of a path")
    require(!(name < name), "no name is before itself")
  }

  @discardableResult
  private static func identifier<T: RawRepresentable<String>>(_ type: T.Type, _ text: String) -> T? {
    guard let value = T(rawValue: text) else { return nil }
    require(value.rawValue == text, "\(text) is kept as it is")
    require(value.rawValue.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "\(text) is printable ASCII")
    return value
  }
}
