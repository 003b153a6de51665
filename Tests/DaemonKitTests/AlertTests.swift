import AlertAPI
import Logging
import Primitives
import RPC
import Synchronization
import Testing

@testable import DaemonKit

/// An alert bus that can be away, and refuses what it is told to.
final class FakeBus: Sendable {
  private struct State {
    var isAway = false
    var refusedKind: String?
    var received: [NewAlert] = []
    var waiting: [(count: Int, CheckedContinuation<Void, Never>)] = []
  }

  private let state = Mutex(State())

  var received: [NewAlert] { state.withLock { $0.received } }
  func setAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }
  func refuse(kind: String) { state.withLock { $0.refusedKind = kind } }

  var caller: RouterCaller { RouterCaller(router, as: .root) }

  var router: Router {
    var router = Router(title: "bus", version: "1")
    router.serve(AppendAlerts.self) { params, _ throws(RPCError) in try self.take(params.alerts) }
    return router
  }

  private func take(_ alerts: [NewAlert]) throws(RPCError) -> AppendAlerts.Result {
    let result = state.withLock { state -> Result<[CheckedContinuation<Void, Never>], RPCError> in
      if state.isAway { return .failure(RPCError(CommonFailure.connectionLost, "away")) }
      if alerts.contains(where: { $0.kind == state.refusedKind }) {
        return .failure(RPCError(AlertFailure.alertTooLarge, "too large"))
      }
      let known = Set(state.received.map(\.key))
      state.received += alerts.filter { !known.contains($0.key) }
      let count = state.received.count
      defer { state.waiting.removeAll { $0.count <= count } }
      return .success(state.waiting.filter { $0.count <= count }.map(\.1))
    }
    for continuation in try result.get() { continuation.resume() }
    return AppendAlerts.Result(sequences: alerts.indices.map { Int64($0) })
  }

  /// Waits until it has one of that kind.
  func has(kind: String) async {
    var count = 1
    repeat {
      await has(count)
      count = received.count + 1
    } while !received.contains { $0.kind == kind }
  }

  /// Waits until it has that many.
  func has(_ count: Int) async {
    await withCheckedContinuation { continuation in
      let isThere = state.withLock { state in
        if state.received.count >= count { return true }
        state.waiting.append((count, continuation))
        return false
      }
      if isThere { continuation.resume() }
    }
  }
}

struct AlertTests {
  let folder: Folder
  let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

  init() throws { folder = try Folder() }

  private func publisher(count: Int = 1_000, bytes: Int = 1 << 20) -> AlertPublisher {
    AlertPublisher(
      directory: folder.path + "/spool", service: .storage, logger: logger, limits: (count: count, bytes: bytes))
  }

  private func publish(_ publisher: AlertPublisher, _ severity: Severity, _ kind: String) {
    publisher.publish(severity, kind: kind, subject: "x", message: "Something happened.")
  }

  @Test func alertsArriveInTheirOrder() async {
    let (publisher, bus) = (publisher(), FakeBus())
    let sender = Task { await publisher.send(to: bus.caller) }
    for number in 0..<250 { publish(publisher, .info, "k\(number)") }
    await bus.has(250)
    sender.cancel()
    #expect(bus.received.map(\.kind) == (0..<250).map { "k\($0)" })
  }

  @Test func alertsSurviveTheProcess() async {
    let bus = FakeBus()
    do {
      let first = publisher()
      publish(first, .error, "before")
      await first.flush()
    }
    #expect(folder.names("spool").count == 1)
    let second = publisher()
    let sender = Task { await second.send(to: bus.caller) }
    publish(second, .info, "after")
    await bus.has(2)
    sender.cancel()
    #expect(bus.received.map(\.kind) == ["before", "after"])
  }

  @Test func whatTheBusHasLeavesTheDisk() async {
    let (publisher, bus) = (publisher(), FakeBus())
    let sender = Task { await publisher.send(to: bus.caller) }
    publish(publisher, .info, "one")
    await bus.has(1)
    publish(publisher, .info, "two")
    await bus.has(2)
    await publisher.flush()
    sender.cancel()
    await sender.value
    #expect(folder.names("spool").isEmpty)
    #expect(publisher.spooledCount == 0)
  }

  @Test func theBusMayBeAway() async {
    let (publisher, bus) = (publisher(), FakeBus())
    bus.setAway(true)
    let sender = Task { await publisher.send(to: bus.caller) }
    publish(publisher, .critical, "one")
    await publisher.flush()
    #expect(publisher.spooledCount == 1)
    bus.setAway(false)
    await bus.has(1)
    sender.cancel()
  }

  @Test func theOldestInformationGoesFirstAndTheLossIsTold() async throws {
    let (publisher, bus) = (publisher(count: 4), FakeBus())
    publish(publisher, .info, "info1")
    publish(publisher, .error, "error1")
    for number in 2...5 { publish(publisher, .info, "info\(number)") }
    await publisher.flush()
    #expect(publisher.spooledCount <= 5)
    let sender = Task { await publisher.send(to: bus.caller) }
    await bus.has(4)
    sender.cancel()
    let kinds = bus.received.map(\.kind)
    #expect(kinds.contains("error1") && kinds.contains("info5") && !kinds.contains("info1"))
    let loss = try #require(bus.received.first { $0.kind == "alertsDropped" })
    #expect(loss.data["dropped"] == .integer(Int64(6 - (bus.received.count - 1))))
    #expect(kinds.count { $0 == "alertsDropped" } == 1)
  }

  @Test func bytesAreBoundedToo() async {
    let publisher = publisher(bytes: 4_096)
    for number in 0..<100 { publish(publisher, .warning, "w\(number)") }
    await publisher.flush()
    #expect(publisher.spooledCount < 25)
    #expect(folder.names("spool").count == publisher.spooledCount)
  }

  @Test func anAlertThatTheBusRefusesHoldsUpNoOther() async {
    let (publisher, bus) = (publisher(), FakeBus())
    bus.refuse(kind: "bad")
    for kind in ["one", "bad", "two"] { publish(publisher, .info, kind) }
    let sender = Task { await publisher.send(to: bus.caller) }
    await bus.has(2)
    sender.cancel()
    #expect(bus.received.map(\.kind) == ["one", "two"])
  }

  @Test func factsThatAreTooLongAreLeftOut() async {
    let (publisher, bus) = (publisher(), FakeBus())
    let sender = Task { await publisher.send(to: bus.caller) }
    publisher.publish(
      .info, kind: "k", subject: "x", message: String(repeating: "m", count: 100_000),
      data: ["log": .string(String(repeating: "l", count: 100_000))])
    await bus.has(1)
    sender.cancel()
    #expect(bus.received[0].data["log"] == nil)
    #expect(bus.received[0].message.count == DaemonLimits.alertMessageCharacters)
  }

  @Test func aDamagedFileIsRemoved() async throws {
    try folder.makeDirectory("spool")
    try folder.write("{ torn", "spool/000000000000001-000001-x.json")
    try folder.write("half", "spool/.x.new")
    let (publisher, bus) = (publisher(), FakeBus())
    let sender = Task { await publisher.send(to: bus.caller) }
    publish(publisher, .info, "good")
    await bus.has(1)
    sender.cancel()
    #expect(bus.received.map(\.kind) == ["good"])
    #expect(!folder.names("spool").contains("000000000000001-000001-x.json"))
  }

  @Test func aDiskThatCannotBeWrittenLosesNothingWhileTheProcessLives() async throws {
    try folder.write("a file, not a folder", "spool")
    let (publisher, bus) = (publisher(), FakeBus())
    publish(publisher, .error, "kept")
    let sender = Task { await publisher.send(to: bus.caller) }
    await bus.has(1)
    sender.cancel()
    #expect(bus.received.map(\.kind) == ["kept"])
  }
}
