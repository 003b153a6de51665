import Primitives
import RPC
import VMAPI

/// Lets a bounded number of guests be started at once, the most urgent first: so that the loss of a module with many guests
/// does not make each of them late, and those come first that are to.
struct StartGate {
  /// Who waits.
  private struct Waiter {
    var name: VMName
    var priority: Int
    var order: Int
    var continuation: CheckedContinuation<Bool, Never>
  }

  private let limit: Int
  private var underWay = 0
  private var waiters: [Waiter] = []
  private var nextOrder = 0

  init(limit: Int) { self.limit = max(1, limit) }

  /// Those who wait.
  var waiting: [VMName] { waiters.map(\.name) }

  var hasRoom: Bool { underWay < limit && waiters.isEmpty }

  /// Takes a place where there is one.
  mutating func takePlace() -> Bool {
    guard hasRoom else { return false }
    underWay += 1
    return true
  }

  mutating func wait(_ name: VMName, priority: Int, _ continuation: CheckedContinuation<Bool, Never>) {
    nextOrder += 1
    waiters.append(Waiter(name: name, priority: priority, order: nextOrder, continuation: continuation))
  }

  /// Gives a place back: to the most urgent of those who wait, the earliest among equals.
  mutating func leave() {
    let next = waiters.indices.min {
      (-waiters[$0].priority, waiters[$0].order) < (-waiters[$1].priority, waiters[$1].order)
    }
    guard let next else {
      underWay -= 1
      return
    }
    waiters.remove(at: next).continuation.resume(returning: true)
  }

  /// Somebody no longer wants that one started: it waits no more, and has no place.
  mutating func withdraw(_ name: VMName) {
    for waiter in waiters where waiter.name == name { waiter.continuation.resume(returning: false) }
    waiters.removeAll { $0.name == name }
  }
}

extension VMMonitor {
  /// All machines in the order in which they are looked after.
  func mostUrgentFirst() -> [VMName] {
    machines.values.sorted { (-$0.restartPriority, $0.name) < (-$1.restartPriority, $1.name) }.map(\.name)
  }

  /// Does what starts a guest when its turn has come.
  ///
  /// - Parameter waiting: called before, when it is to wait: others are to see why it does not run yet.
  func inTurn<T: Sendable>(
    _ name: VMName, waiting: () async throws(RPCError) -> Void, _ body: () async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    if !starts.hasRoom { try await waiting() }
    if !starts.takePlace() {
      // Whoever wanted it ended while others were told found nobody waiting.
      try wanted(name)
      let priority = machines[name]?.restartPriority ?? 0
      let hasPlace = await withCheckedContinuation { starts.wait(name, priority: priority, $0) }
      guard hasPlace else {
        throw RPCError(
          VMFailure.wrongState, "The virtual machine '\(name)' is being ended.", data: ["name": .string(name.rawValue)])
      }
    }
    defer { starts.leave() }
    return try await body()
  }
}
