import Synchronization

/// Counts requests, from whatever thread they come.
final class RequestCounter: Sendable {
  private let value = Atomic<Int>(0)

  var count: Int { value.load(ordering: .relaxed) }

  func countOne() { value.wrappingAdd(1, ordering: .relaxed) }
}
