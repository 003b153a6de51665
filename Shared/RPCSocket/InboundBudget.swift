import RPC
import Synchronization

/// Bounds the memory that unfinished and large messages take, over all connections of a server.
final class InboundBudget: Sendable {
  private let limit: Int
  /// What one socket may always hold unhandled, however much others do.
  private let free: Int
  private let state = Mutex<(total: Int, held: [ObjectIdentifier: Int])>((0, [:]))

  init(limit: Int, free: Int) {
    self.limit = limit
    self.free = free
  }

  /// What a peer is told whose message has no room.
  static let exceeded = RPCError(
    CommonFailure.limitExceeded,
    "The service holds as many large messages as it can; repeat this later, or send smaller ones.")

  /// Tells what a socket holds unhandled now; false when that is too much.
  func hold(_ count: Int, for socket: FramedSocket) -> Bool {
    state.withLock { state in
      let now = count > free ? count : 0
      // Mostly nobody holds anything.
      guard now > 0 || !state.held.isEmpty else { return true }
      let identifier = ObjectIdentifier(socket)
      let before = state.held[identifier] ?? 0
      guard now != before else { return true }
      state.total += now - before
      state.held[identifier] = now == 0 ? nil : now
      return now <= before || state.total <= limit
    }
  }

  /// Room for a message that is being handled, given back when the result is let go; nil when there is none.
  func take(_ count: Int) -> Hold? {
    let isAllowed = state.withLock { state in
      // The message is in the socket's buffer at this time, too: it is counted twice for a moment.
      guard state.total + count <= limit else { return false }
      state.total += count
      return true
    }
    return isAllowed ? Hold(self, count) : nil
  }

  final class Hold: Sendable {
    private let budget: InboundBudget
    private let count: Int

    init(_ budget: InboundBudget, _ count: Int) {
      self.budget = budget
      self.count = count
    }

    deinit { budget.state.withLock { $0.total -= count } }
  }
}
