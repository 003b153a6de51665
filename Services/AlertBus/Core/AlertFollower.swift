import AlertAPI
import ControlState
import GRDB
import RPC

extension AlertLog {
  /// The alerts after a number and then each new one, without loss and without repetition.
  ///
  /// The reader pulls: a page is read when it has taken the one before, so a slow one costs a page of memory and is told
  /// of a gap when the log dropped what it had not read yet.
  public func follow(
    _ params: FollowAlerts.Params
  ) async throws(RPCError) -> AsyncThrowingStream<AlertEvent, any Error> {
    let last = try await state.read { try AlertTable.range($0).last }
    // A number that was never given (a log that began anew) means now.
    let follower = AlertFollower(self, after: min(max(0, params.afterSequence ?? last), last))
    return AsyncThrowingStream { try await follower.next() }
  }
}

/// One reader's place in the log.
private actor AlertFollower {
  private let log: AlertLog
  private var after: Int64
  private var page: ArraySlice<AlertRecord> = []

  init(_ log: AlertLog, after: Int64) {
    self.log = log
    self.after = after
  }

  func next() async throws -> AlertEvent? {
    while page.isEmpty {
      await log.arrivals.wait(after: after)
      if Task.isCancelled { return nil }
      let (first, alerts) = try await read()
      page = alerts[...]
      if first > after + 1, after < (page.first?.sequence ?? first) - 1 {
        after = first - 1
        return AlertEvent(missedThroughSequence: after)
      }
    }
    guard let alert = page.popFirst() else { return nil }
    after = alert.sequence
    return AlertEvent(alert: alert)
  }

  private func read() async throws(RPCError) -> (Int64, [AlertRecord]) {
    let query = AlertQuery(ListAlerts.Params(afterSequence: after), limit: log.limits.page)
    let bytes = log.limits.answerBytes
    return try await log.state.read { database in
      (try AlertTable.range(database).first, try query.fetch(database, bytes: bytes))
    }
  }
}
