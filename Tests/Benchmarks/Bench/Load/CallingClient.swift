import Glibc
import Synchronization

/// A client that calls several services in turn, without pause, on a thread of its own, and notices at once when one of its
/// connections is cut.
///
/// Unchecked: lanes are touched by the thread alone until `finish` has joined it.
final class CallingClient: @unchecked Sendable {
  let lanes: [Lane]
  private var thread = pthread_t()
  private let isStopping = Atomic(false)
  /// The lane whose turn it is.
  private var turn = 0

  init(lanes: [Lane]) { self.lanes = lanes }

  func start() {
    let client = Unmanaged.passRetained(self)
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<CallingClient>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, client.toOpaque())
    precondition(code == 0, "no thread is left for a client")
  }

  /// Ends the thread and returns what each lane met.
  func finish() -> [Lane.Record] {
    isStopping.store(true, ordering: .relaxed)
    pthread_join(thread, nil)
    return lanes.map(\.record)
  }

  private func run() {
    while !isStopping.load(ordering: .relaxed) {
      let now = Clock.now
      for lane in lanes where lane.isWaitingToConnect { lane.go(now: now) }
      if lanes.allSatisfy(\.isIdle) {
        lanes[turn].ask(now: now)
        turn = (turn + 1) % lanes.count
      }
      var waiting = lanes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
      let isReconnecting = lanes.contains(where: \.isWaitingToConnect)
      guard poll(&waiting, nfds_t(waiting.count), isReconnecting ? 1 : 50) > 0 else { continue }
      for (lane, entry) in zip(lanes, waiting) where entry.fd >= 0 && entry.revents != 0 {
        lane.receive(now: Clock.now)
      }
    }
    for lane in lanes { lane.close() }
  }
}
