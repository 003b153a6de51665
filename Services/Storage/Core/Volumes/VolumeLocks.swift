import Primitives
import RPC
import Synchronization

/// One operation at a time on each volume, in order of arrival.
///
/// What holds a lock may last (a commit copies gigabytes), so whoever waits says for how long.
final class VolumeLocks: Sendable {
  private struct Waiter {
    var number: Int
    var operation: String
    var continuation: CheckedContinuation<Bool, Never>
  }

  private struct Held {
    var operation: String
    var waiters: [Waiter] = []
  }

  private struct State {
    var held: [String: Held] = [:]
    var nextNumber = 0
  }

  private let state = Mutex(State())

  /// Runs `body` while nothing else works on what `name` names.
  ///
  /// Throws `volumeInUse` when another operation has not ended after `patience`.
  func with<T>(
    _ name: String, for operation: String, patience: Duration = StorageLimits.patience,
    _ body: () async throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    try await acquire(name, for: operation, patience: patience)
    defer { release(name) }
    return try await body()
  }

  /// Takes the lock; `release` gives it back.
  func acquire(
    _ name: String, for operation: String, patience: Duration? = StorageLimits.patience
  ) async throws(RPCError) {
    let got = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
      let number = state.withLock { state -> Int? in
        guard state.held[name] != nil else {
          state.held[name] = Held(operation: operation)
          return nil
        }
        state.nextNumber += 1
        let waiter = Waiter(number: state.nextNumber, operation: operation, continuation: continuation)
        state.held[name]?.waiters.append(waiter)
        return waiter.number
      }
      guard let number else { return continuation.resume(returning: true) }
      guard let patience else { return }
      Task {
        try? await Task.sleep(for: patience)
        self.giveUp(number, on: name)
      }
    }
    guard got else {
      let holder = state.withLock { $0.held[name]?.operation } ?? "Another operation"
      throw Complaint.busy(name, with: holder)
    }
  }

  /// Gives the lock to the one that has waited longest.
  func release(_ name: String) {
    let next = state.withLock { state -> Waiter? in
      guard var held = state.held[name], !held.waiters.isEmpty else {
        state.held[name] = nil
        return nil
      }
      let next = held.waiters.removeFirst()
      held.operation = next.operation
      state.held[name] = held
      return next
    }
    next?.continuation.resume(returning: true)
  }

  private func giveUp(_ number: Int, on name: String) {
    let waiter = state.withLock { state -> Waiter? in
      guard let index = state.held[name]?.waiters.firstIndex(where: { $0.number == number }) else { return nil }
      return state.held[name]?.waiters.remove(at: index)
    }
    waiter?.continuation.resume(returning: false)
  }
}
