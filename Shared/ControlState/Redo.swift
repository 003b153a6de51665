import FoundationEssentials
import GRDB

/// The statements of the last transaction, kept with it on each leg.
///
/// A crash between the commits of the two legs leaves one of them a transaction behind; playing this brings it level in
/// a moment, where a copy would leave the host on one leg for as long as that takes. What is too large, or has named
/// arguments, is not kept: then the leg is copied.
///
/// Encoding: for each statement the SQL, the rows it changed, the row it inserted last, the number of arguments, and
/// each argument as a tag byte and its content. Integers and lengths are 8 bytes, big-endian; doubles are their bits.
enum Redo {
  static let sizeLimit = 262_144

  static func write(_ statements: [RecordedStatement], sequence: Int64, to database: Database) throws {
    try database.execute(
      sql: "INSERT OR REPLACE INTO ftvs_redo VALUES (1, ?, ?)",
      arguments: [sequence, encode(statements).map { Data($0) }])
  }

  /// The statements that led to this transaction, or nil when they were not kept.
  static func read(_ database: Database, sequence: Int64) throws -> [RecordedStatement]? {
    guard let row = try Row.fetchOne(database, sql: "SELECT sequence, statements FROM ftvs_redo WHERE id = 1"),
      row.number("sequence") == sequence, let value: DatabaseValue = row["statements"],
      case .blob(let data) = value.storage
    else { return nil }
    return decode([UInt8](data))
  }

  static func encode(_ statements: [RecordedStatement]) -> [UInt8]? {
    var writer = Writer()
    for statement in statements {
      guard let arguments = positional(statement.arguments) else { return nil }
      writer.append(Array(statement.sql.utf8))
      writer.append(Int64(statement.changes))
      writer.append(statement.rowID)
      writer.append(Int64(arguments.count))
      for argument in arguments { writer.append(argument) }
      if writer.bytes.count > sizeLimit { return nil }
    }
    return writer.bytes
  }

  static func decode(_ bytes: [UInt8]) -> [RecordedStatement]? {
    var reader = Reader(bytes: bytes[...])
    var statements: [RecordedStatement] = []
    while !reader.bytes.isEmpty {
      guard let sql = reader.blob(), let changes = reader.integer(), let rowID = reader.integer(),
        let count = reader.integer(), count >= 0, count <= reader.bytes.count
      else { return nil }
      var arguments: [DatabaseValue] = []
      for _ in 0..<count {
        guard let value = reader.value() else { return nil }
        arguments.append(value)
      }
      statements.append(
        RecordedStatement(
          sql: String(decoding: sql, as: UTF8.self), arguments: StatementArguments(arguments),
          changes: Int(clamping: changes), rowID: rowID))
    }
    return statements
  }

  /// The arguments in order. The library keeps them to itself; where its layout is not the expected one, nothing is
  /// kept and the copy takes its place.
  private static func positional(_ arguments: StatementArguments) -> [DatabaseValue]? {
    if arguments.isEmpty { return [] }
    let mirror = Mirror(reflecting: arguments)
    guard let named = mirror.descendant("namedValues") as? [String: DatabaseValue], named.isEmpty else { return nil }
    return mirror.descendant("values") as? [DatabaseValue]
  }

  private struct Writer {
    var bytes: [UInt8] = []

    mutating func append(_ number: Int64) {
      withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ blob: [UInt8]) {
      append(Int64(blob.count))
      bytes.append(contentsOf: blob)
    }

    mutating func append(_ value: DatabaseValue) {
      switch value.storage {
      case .null: bytes.append(0)
      case .int64(let number):
        bytes.append(1)
        append(number)
      case .double(let number):
        bytes.append(2)
        append(Int64(bitPattern: number.bitPattern))
      case .string(let text):
        bytes.append(3)
        append(Array(text.utf8))
      case .blob(let data):
        bytes.append(4)
        append([UInt8](data))
      }
    }
  }

  private struct Reader {
    var bytes: ArraySlice<UInt8>

    mutating func integer() -> Int64? {
      guard bytes.count >= 8 else { return nil }
      defer { bytes = bytes.dropFirst(8) }
      return Int64(bitPattern: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    }

    mutating func blob() -> ArraySlice<UInt8>? {
      guard let count = integer(), count >= 0, count <= bytes.count else { return nil }
      defer { bytes = bytes.dropFirst(Int(count)) }
      return bytes.prefix(Int(count))
    }

    mutating func value() -> DatabaseValue? {
      switch bytes.popFirst() {
      case 0: .null
      case 1: integer()?.databaseValue
      case 2: integer().map { Double(bitPattern: UInt64(bitPattern: $0)).databaseValue }
      case 3: blob().map { String(decoding: $0, as: UTF8.self).databaseValue }
      case 4: blob().map { Data($0).databaseValue }
      default: nil
      }
    }
  }
}
