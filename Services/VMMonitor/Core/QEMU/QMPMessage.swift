import RPC

/// A message of QEMU's control protocol (docs/interop/qmp-spec.txt, section 2).
enum QMPMessage: Sendable, Equatable {
  /// The first message on a connection.
  case greeting
  /// The answer to the command with this number, or to an unnumbered one.
  case result(id: Int64?, JSONValue)
  case failure(id: Int64?, description: String)
  case event(name: String, data: JSONValue)

  /// The message in a line, or nil when the line is none.
  init?(line: ArraySlice<UInt8>) {
    guard let value = try? JSON.parse(line), case .object(let object) = value else { return nil }
    if object["QMP"] != nil {
      self = .greeting
    } else if let name = object["event"]?.string {
      self = .event(name: name, data: object["data"] ?? [:])
    } else if let error = object["error"] {
      self = .failure(id: object["id"]?.integer, description: error["desc"]?.string ?? "an error without description")
    } else if let result = object["return"] {
      self = .result(id: object["id"]?.integer, result)
    } else {
      return nil
    }
  }

  /// A command as a line.
  static func command(_ name: String, arguments: JSONValue?, id: Int64) -> [UInt8] {
    var object: JSONObject = ["execute": .string(name), "id": .integer(id)]
    if let arguments { object["arguments"] = arguments }
    return JSON.bytes(.object(object)) + [0x0A]
  }
}

/// Cuts a stream of bytes into lines.
struct LineSplitter {
  /// Longest line that is taken; QEMU's own limit on what it reads is 64 MiB, but its answers to our commands are small.
  static let limit = 1 << 20

  private var pending: [UInt8] = []

  /// The lines that are complete now, without their end; nil when one is too long.
  mutating func add(_ bytes: [UInt8]) -> [ArraySlice<UInt8>]? {
    pending += bytes
    guard let last = pending.lastIndex(of: 0x0A) else {
      return pending.count <= Self.limit ? [] : nil
    }
    let complete = pending[...last]
    pending = Array(pending[(last + 1)...])
    return complete.split(separator: 0x0A).map { $0.last == 0x0D ? $0.dropLast() : $0 }.filter { !$0.isEmpty }
  }
}
