import Glibc
import HardwareAPI
import Primitives
import RPC
import RPCSocket

/// Sends the beats, while there is a connection to send them over.
///
/// From a thread of its own, which is woken once a beat and hands nothing to others: dozens of beats a second by way of Swift's
/// timers and pool cost several times as much. Beats fall on multiples of the interval, so that those of both modules, and what
/// they wake, come together; the time between two of them is never longer than the interval.
final class Heart: @unchecked Sendable {
  // @unchecked: `beating` is only touched with `monitor` held.
  private struct Beating {
    let client: RPCClient
    /// Times are in nanoseconds of the monotonic clock.
    var interval: Int64
    var next: Int64
    var last: Int64?
    var sequence: Int64 = 0
  }

  private let module: ModuleID
  private let incarnation: GenerationID
  /// Told the interval once the first beat of a connection is sent.
  private let begun: @Sendable (Duration) -> Void
  private let monitor = Monitor()
  private var beating: Beating?

  /// Starts the thread, which never ends.
  init(module: ModuleID, incarnation: GenerationID, begun: @escaping @Sendable (Duration) -> Void) {
    self.module = module
    self.incarnation = incarnation
    self.begun = begun
    startThread(name: "ftvs-beat") { [self] in run() }
  }

  /// Beats over that connection from now on, at once and then at that interval.
  func beat(over client: RPCClient, every interval: Duration) {
    monitor.locked {
      let nanoseconds = max(1, Int64(interval / .nanoseconds(1)))
      if beating?.client === client {
        beating?.interval = nanoseconds
        beating?.next = 0
      } else {
        beating = Beating(client: client, interval: nanoseconds, next: 0)
      }
      monitor.wakeOne()
    }
  }

  /// No beats are due until there is another connection. True when the last one had got some.
  @discardableResult
  func rest() -> Bool {
    monitor.locked {
      defer { beating = nil }
      return beating?.last != nil
    }
  }

  /// The connection, while it beats.
  var client: RPCClient? { monitor.locked { beating?.client } }

  /// Whether the beats that are due are sent, give or take.
  func isRegular(within slack: Duration) -> Bool {
    monitor.locked {
      guard let beating, let last = beating.last else { return true }
      return monotonicNanoseconds() - last <= beating.interval + Int64(slack / .nanoseconds(1))
    }
  }

  // MARK: The thread

  private func run() {
    while true { send(waitForBeat()) }
  }

  /// Waits until a beat is due.
  private func waitForBeat() -> Beating {
    monitor.locked {
      while true {
        guard let due = beating else {
          monitor.wait()
          continue
        }
        let now = monotonicNanoseconds()
        if due.next <= now {
          beating?.last = now
          beating?.next = (now / due.interval + 1) * due.interval
          beating?.sequence += 1
          return due
        }
        _ = monitor.wait(until: timespec(nanoseconds: due.next))
      }
    }
  }

  /// Does not block: what the socket does not take waits in its queue.
  private func send(_ beat: Beating) {
    let params = SendHeartbeat.Params(module: module, incarnation: incarnation, sequence: beat.sequence)
    do {
      try beat.client.notify(method: SendHeartbeat.name, params: try WireCoder.encode(params))
      if beat.sequence == 0 { begun(.nanoseconds(beat.interval)) }
    } catch {
      // Whoever reads from the connection hears of its end, and begins another one.
      beat.client.close()
    }
  }
}

/// Time since the host started.
private func monotonicNanoseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
