import Glibc
import Synchronization

/// Counts with the guest over TCP, and remembers what it acknowledged: the guest's own record proves nothing.
final class GuestObserver: Sendable {
  struct Count: Sendable {
    var acknowledged = 0
    /// What was wrong: an acknowledged number that was not there, or was given out again.
    var problem: String?
    /// Acknowledged numbers this run.
    var answers = 0
    /// The longest time between two of them, in milliseconds.
    var longestSilence = 0.0
    var last: UInt64?
  }

  private let port: Int
  private let count = Mutex(Count())
  private let isStopping = Atomic(false)
  private let thread = Mutex(pthread_t())

  init(port: Int) { self.port = port }

  var now: Count { count.withLock { $0 } }

  func forgetSilence() { count.withLock { $0.longestSilence = 0 } }

  func start() {
    let observer = Unmanaged.passRetained(self)
    thread.withLock { thread in
      let code = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          Unmanaged<GuestObserver>.fromOpaque(argument).takeRetainedValue().run()
          return nil
        }, observer.toOpaque())
      precondition(code == 0, "no thread is left for the observer")
    }
  }

  func stop() {
    isStopping.store(true, ordering: .relaxed)
    pthread_join(thread.withLock { $0 }, nil)
  }

  /// Waits until the guest acknowledges a number above `number`; false after `seconds`.
  func waits(above number: Int, seconds: Int) async -> Bool {
    for _ in 0..<seconds * 50 {
      if now.acknowledged > number { return true }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return false
  }

  private func run() {
    while !isStopping.load(ordering: .relaxed) {
      if let connection = LineConnection(port: port) {
        count(with: connection)
      }
      usleep(10_000)
    }
  }

  /// Goes on until an answer is missing: one that comes late would be taken for that of the next question.
  private func count(with connection: LineConnection) {
    guard let answer = connection.ask("last"), let onDisk = Int(answer) else { return }
    check(onDisk: onDisk)
    while !isStopping.load(ordering: .relaxed), let answer = connection.ask("next"), let number = Int(answer) {
      note(number)
    }
  }

  private func check(onDisk number: Int) {
    count.withLock { count in
      guard number < count.acknowledged, count.problem == nil else { return }
      count.problem = "\(count.acknowledged) was acknowledged, the disk says \(number)"
    }
  }

  private func note(_ number: Int) {
    let now = Clock.now
    count.withLock { count in
      if number <= count.acknowledged, count.problem == nil {
        count.problem = "\(count.acknowledged) was acknowledged, then \(number) came again"
      }
      if let last = count.last { count.longestSilence = max(count.longestSilence, Double(now - last) / 1e6) }
      count.last = now
      count.acknowledged = number
      count.answers += 1
    }
  }
}

/// A TCP connection to this machine that asks and is answered line by line.
private final class LineConnection {
  private let descriptor: Int32
  private var input: [UInt8] = []

  init?(port: Int) {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    var bound = timeval(tv_sec: 1, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &bound, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &bound, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    // What is initialized is deinitialized, too, where this returns nil.
    guard result == 0 else { return nil }
  }

  deinit { close(descriptor) }

  /// The answer, or nil when the connection is of no use any more.
  func ask(_ line: String) -> String? {
    let bytes = Array((line + "\n").utf8)
    guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return nil }
    var chunk = [UInt8](repeating: 0, count: 512)
    while true {
      if let end = input.firstIndex(of: UInt8(ascii: "\n")) {
        defer { input.removeFirst(end + 1) }
        return String(decoding: input[..<end], as: UTF8.self)
      }
      let count = recv(descriptor, &chunk, chunk.count, 0)
      guard count > 0 else { return nil }
      input += chunk[0..<count]
    }
  }
}
