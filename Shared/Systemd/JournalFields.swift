import Logging

/// What one log event is in the journal: a list of `NAME=value` fields, systemd.journal-fields(7).
struct JournalFields {
  private(set) var fields: [[UInt8]] = []

  init(_ event: LogEvent, identifier: String, metadata: Logger.Metadata) {
    append("MESSAGE", event.message.description)
    append("PRIORITY", String(Self.priority(of: event.level)))
    append("SYSLOG_IDENTIFIER", identifier)
    append("CODE_FILE", event.file)
    append("CODE_LINE", String(event.line))
    append("CODE_FUNC", event.function)
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
      append(Self.fieldName(name), value.description)
    }
  }

  private mutating func append(_ name: String, _ value: String) {
    fields.append(Array(name.utf8) + [UInt8(ascii: "=")] + Array(value.utf8.prefix(Self.valueLimit)))
  }

  /// Bytes of one field's value; the rest is cut off.
  static let valueLimit = 16 << 10

  /// `FTVS_` and the name in capitals, `volumeName` as `VOLUME_NAME`; whatever else is no letter or digit becomes `_`. At most
  /// 64 characters, as the journal has it.
  static func fieldName(_ name: String) -> String {
    var result = Array("FTVS_".utf8)
    var before: UInt8 = UInt8(ascii: "_")
    for byte in name.utf8 {
      let isCapital = (0x41...0x5A).contains(byte)
      let followsSmall = (0x61...0x7A).contains(before) || (0x30...0x39).contains(before)
      if isCapital && followsSmall { result.append(UInt8(ascii: "_")) }
      switch byte {
      case 0x30...0x39, 0x41...0x5A: result.append(byte)
      case 0x61...0x7A: result.append(byte - 0x20)
      default: result.append(UInt8(ascii: "_"))
      }
      before = byte
    }
    return String(decoding: result.prefix(64), as: UTF8.self)
  }

  /// The level of syslog(3) that goes with a level.
  static func priority(of level: Logger.Level) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}
