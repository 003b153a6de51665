import Primitives

/// A leg that is getting what it missed.
///
/// First an image of the database is written to `state.sqlite.new` and put in place; transactions are noted meanwhile, and
/// replayed then. From there on the leg follows: each transaction is replayed on it. Then the service copies its other
/// data. Then the leg joins.
final class Resync {
  /// A transaction that was made while the image was written.
  struct Missed {
    var statements: [RecordedStatement]
    var old: LegHeader
    var next: LegHeader
  }

  let copy: ImageCopy
  /// Tells this one from those before it: what they still report is ignored.
  let number: Int
  let source: LegDatabase
  /// The leg's database, from when it has what was missed.
  private(set) var follower: LegDatabase?
  private(set) var missed: [Missed] = []
  /// Copies the service's other data.
  var data: Task<Void, Never>?

  /// Transactions that are noted.
  static let missedLimit = 10_000

  init(_ copy: ImageCopy, number: Int, from source: LegDatabase) {
    self.copy = copy
    self.number = number
    self.source = source
  }

  var leg: LegID { copy.thread.leg }

  /// Notes a transaction for the replay. False when there are too many.
  func note(_ transaction: Missed) -> Bool {
    missed.append(transaction)
    return missed.count <= Self.missedLimit
  }

  /// From now on each transaction is replayed on this database, which has what was missed.
  func follow(with database: LegDatabase) {
    follower = database
    missed = []
  }

  func end() {
    data?.cancel()
    if let follower { follower.close() } else { copy.cancel() }
  }
}
