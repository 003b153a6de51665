import Glibc
import Synchronization

/// A client that calls several services in turn on a thread of its own, and notices at once when one of its connections is cut.
///
/// Unchecked: lanes are touched by the thread alone until `finish` has joined it.
final class CallingClient: @unchecked Sendable {
  let lanes: [Lane]
  private var thread = pthread_t()
  private let isStopping = Atomic(false)
  /// The lane whose turn it is.
  private var turn = 0
  /// Between an answer and the next request, in nanoseconds.
  private let pause: UInt64
  private var nextCall: UInt64 = 0

  /// - Parameter pause: Between an answer and the next request.
  init(lanes: [Lane], pause: Duration = .zero) {
    self.lanes = lanes
    self.pause = UInt64(pause / .nanoseconds(1))
  }

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
      let isIdle = lanes.allSatisfy(\.isIdle)
      if isIdle, now >= nextCall {
        lanes[turn].ask(now: now)
        turn = (turn + 1) % lanes.count
        nextCall = now + pause
      }
      var waiting = lanes.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
      let isSoon = lanes.contains(where: \.isWaitingToConnect) || isIdle && pause > 0
      guard poll(&waiting, nfds_t(waiting.count), isSoon ? 1 : 50) > 0 else { continue }
      for (lane, entry) in zip(lanes, waiting) where entry.fd >= 0 && entry.revents != 0 {
        lane.receive(now: Clock.now)
      }
    }
    for lane in lanes { lane.close() }
  }
}
