import Primitives
import Synchronization

/// What `ControlState` calls to have a leg's layers copied. It exists before the service does: a call that comes earlier
/// waits for the service.
public final class ResyncHook: Sendable {
  private struct State {
    var service: StorageService?
    var waiters: [CheckedContinuation<StorageService, Never>] = []
  }

  private let state = Mutex(State())

  public init() {}

  /// The service that copies from now on.
  public func attach(_ service: StorageService) {
    let waiters = state.withLock { state in
      state.service = service
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume(returning: service) }
  }

  /// Copies every layer to a leg that is back.
  public func resync(
    to leg: LegID, progress: @escaping @Sendable (_ doneBytes: Int64, _ totalBytes: Int64) -> Void
  ) async throws {
    let service = await withCheckedContinuation { continuation in
      let present = state.withLock { state -> StorageService? in
        if state.service == nil { state.waiters.append(continuation) }
        return state.service
      }
      if let present { continuation.resume(returning: present) }
    }
    try await service.resync(to: leg, progress: progress)
  }
}
