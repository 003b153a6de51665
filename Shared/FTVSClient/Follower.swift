import RPC

/// One subscription after another, as one sequence of events.
///
/// Events are taken when they are asked for, so nothing piles up here, and the parameters of the next subscription are made of the last
/// event that the reader has got.
actor Follower<S: RPCSubscription> {
  private let client: ServiceClient
  private let params: @Sendable (S.Event?) -> S.Params
  private var last: S.Event?
  private var events: AsyncThrowingStream<S.Event, any Error>.Iterator?
  /// Whether the current subscription has brought anything.
  private var hasProgress = false

  init(client: ServiceClient, params: @escaping @Sendable (S.Event?) -> S.Params) {
    self.client = client
    self.params = params
  }

  func next() async throws -> S.Event? {
    while true {
      do {
        if events == nil {
          hasProgress = false
          events = try await client.subscribe(S.self, params(last)).makeAsyncIterator()
        }
        guard let event = try await nextOfThis() else { return nil }
        last = event
        hasProgress = true
        return event
      } catch let error as RPCError where isCured(error) {
        events = nil
      }
    }
  }

  private func nextOfThis() async throws -> S.Event? {
    guard var iterator = events else { return nil }
    defer { events = iterator }
    return try await iterator.next(isolation: self)
  }

  /// Whether subscribing anew helps. A reader who was cut for being slow goes on, where there was anything to read at all.
  private func isCured(_ error: RPCError) -> Bool {
    guard !Task.isCancelled else { return false }
    return ServiceClient.isCuredByReconnecting(error) || hasProgress && error.matches(CommonFailure.limitExceeded)
  }
}
