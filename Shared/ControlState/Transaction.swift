import GRDB
import RPC

/// A change of the state while it is being made.
///
/// What is executed here is committed on the first leg and then replayed on the other, before anything is answered. So
/// statements must not depend on chance or on the clock: draw such values in Swift and pass them as arguments. The body
/// that makes the change may run more than once when a leg fails under it, and where that leg hangs, at the same time.
public struct Transaction {
  /// For reads. What is written through it directly is found out and refused.
  public let database: Database
  private(set) var statements: [RecordedStatement] = []
  private var changes = 0
  private let changesBefore: Int
  var requestFloor: Int64?

  init(_ database: Database) {
    self.database = database
    changesBefore = database.totalChangesCount
  }

  /// Executes one or several statements on all legs.
  public mutating func execute(_ sql: String, _ arguments: StatementArguments = []) throws {
    let before = database.totalChangesCount
    try database.execute(sql: sql, arguments: arguments)
    let changed = database.totalChangesCount - before
    changes += changed
    statements.append(
      RecordedStatement(sql: sql, arguments: arguments, changes: changed, rowID: database.lastInsertedRowID))
  }

  /// Identifier of the row that was inserted last.
  public var lastInsertedRowID: Int64 { database.lastInsertedRowID }

  /// Refuses a body that changed the first leg alone.
  func finish() throws {
    guard database.isInsideTransaction, database.totalChangesCount - changesBefore == changes else {
      throw RPCError(
        CommonFailure.internalError, "A change went past Transaction.execute and was rolled back; please report this.")
    }
  }
}

/// A statement as it ran on the first leg.
struct RecordedStatement {
  let sql: String
  let arguments: StatementArguments
  /// Rows it changed, and the row it inserted last: a replay that differs shows that the legs differ.
  let changes: Int
  let rowID: Int64

  func replay(_ database: Database) throws {
    let before = database.totalChangesCount
    try database.execute(sql: sql, arguments: arguments)
    guard database.totalChangesCount - before == changes, changes == 0 || database.lastInsertedRowID == rowID else {
      throw DatabaseError(
        resultCode: .SQLITE_CORRUPT, message: "the legs differ: a replayed statement changed other rows")
    }
  }
}
