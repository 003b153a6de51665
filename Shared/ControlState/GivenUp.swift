import GRDB
import Primitives

/// The generations that a start by force gave up: a leg that holds one of them is kept aside when it comes back, for people
/// who want to look at what was lost, however much later that is.
///
/// The table is there only where a start was forced.
enum GivenUp {
  static func note(_ generations: Set<GenerationID>, in transaction: inout Transaction) throws {
    try transaction.execute("CREATE TABLE IF NOT EXISTS ftvs_given_up (generation TEXT PRIMARY KEY) WITHOUT ROWID")
    for generation in generations.map(\.rawValue).sorted() {
      try transaction.execute("INSERT OR IGNORE INTO ftvs_given_up (generation) VALUES (?)", [generation])
    }
  }

  static func contains(_ generation: GenerationID, in database: Database) throws -> Bool {
    guard try database.tableExists("ftvs_given_up") else { return false }
    return try Bool.fetchOne(
      database, sql: "SELECT EXISTS (SELECT 1 FROM ftvs_given_up WHERE generation = ?)",
      arguments: [generation.rawValue]) ?? false
  }
}
