import Glibc
import Testing

@testable import Systemd

/// A manager's end of the protocol.
final class FakeManager {
  let path: String
  private let descriptor: Int32

  init(abstract: Bool = false) throws {
    path = (abstract ? "@" : "/tmp/") + "ftvs-notify-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(path.utf8)
    if abstract { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(2 + bytes.count + (abstract ? 0 : 1))
    let bound = withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(descriptor, $0, length) }
    }
    try #require(bound == 0)
  }

  deinit {
    close(descriptor)
    unlink(path)
  }

  /// What has arrived next; nil when nothing has.
  func received() -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
  }
}

struct NotifierTests {
  @Test func messagesArriveAsOneDatagram() throws {
    let manager = try FakeManager()
    let notifier = Notifier(environment: ["NOTIFY_SOCKET": manager.path], processID: 1)
    #expect(notifier.send(.ready, .status("two\nlines")))
    #expect(manager.received() == "READY=1\nSTATUS=two lines")
  }

  @Test func aNameInTheAbstractNamespaceIsReached() throws {
    let manager = try FakeManager(abstract: true)
    #expect(Notifier(environment: ["NOTIFY_SOCKET": manager.path], processID: 1).send(.stopping))
    #expect(manager.received() == "STOPPING=1")
  }

  @Test func aReloadCarriesItsTime() throws {
    let manager = try FakeManager()
    let notifier = Notifier(environment: ["NOTIFY_SOCKET": manager.path], processID: 1)
    notifier.send(.reloading(monotonicMicroseconds: 12_345))
    #expect(manager.received() == "RELOADING=1\nMONOTONIC_USEC=12345")
  }

  @Test func withoutAManagerNothingIsSent() {
    #expect(!Notifier(environment: [:], processID: 1).send(.ready))
    #expect(!Notifier(environment: ["NOTIFY_SOCKET": "/nowhere/at/all"], processID: 1).send(.ready))
    #expect(!Notifier(environment: ["NOTIFY_SOCKET": "relative"], processID: 1).send(.ready))
  }

  @Test func aManagerThatDoesNotReadHoldsUpNoWatchdogMessage() throws {
    let manager = try FakeManager()
    let notifier = Notifier(environment: ["NOTIFY_SOCKET": manager.path], processID: 1)
    var sent = 0
    // The queue of a datagram socket has a bound (net.unix.max_dgram_qlen, 10 to 512).
    while sent < 10_000, notifier.send(.watchdog) { sent += 1 }
    #expect(sent < 10_000)
  }

  @Test func theWatchdogIntervalIsOfThisProcessOnly() {
    func interval(_ environment: [String: String]) -> Duration? {
      Notifier(environment: environment, processID: 7).watchdogInterval
    }
    #expect(interval(["WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7"]) == .seconds(1))
    #expect(interval(["WATCHDOG_USEC": "1000000"]) == .seconds(1))
    #expect(interval(["WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"]) == nil)
    #expect(interval(["WATCHDOG_USEC": "0"]) == nil)
    #expect(interval(["WATCHDOG_USEC": "soon"]) == nil)
  }
}
