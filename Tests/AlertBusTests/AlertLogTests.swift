import AlertAPI
import AlertBusCore
import ControlState
import FoundationEssentials
import Primitives
import RPC
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AlertLogTests {
  let fixture = AlertFixture()

  @Test func `alerts get numbers without gaps from 1 on`() async throws {
    let log = try await fixture.log()
    #expect(try await log.add(AlertFixture.alert(1), AlertFixture.alert(2)) == [1, 2])
    #expect(try await log.add(AlertFixture.alert(3)) == [3])
  }

  @Test func `an alert is read back as it was published`() async throws {
    let log = try await fixture.log()
    try await log.add(AlertFixture.alert(7, .error, kind: "legLost", subject: "io1"))
    let alert = try #require(try await log.list(.init()).alerts.first)
    #expect(
      alert
        == AlertRecord(
          sequence: 1, timeMilliseconds: 7, severity: .error, source: .hardware, kind: "legLost", subject: "io1",
          message: "Alert 7.", data: ["number": 7], state: .open))
  }

  @Test func `a repeat with a known key keeps its number and is recorded once`() async throws {
    let log = try await fixture.log()
    let alert = AlertFixture.alert(1)
    try await log.add(alert)
    #expect(try await log.add(AlertFixture.alert(2), alert, alert) == [2, 1, 1])
    #expect(try await log.list(.init()).lastSequence == 2)
  }

  @Test func `information is recorded, everything else is open`() async throws {
    let log = try await fixture.log()
    for (number, severity) in Severity.allCases.enumerated() { try await log.add(AlertFixture.alert(number, severity)) }
    #expect(try await log.list(.init()).alerts.map(\.state) == [.recorded, .open, .open, .open])
  }

  @Test func `a batch beyond the limit is refused whole`() async throws {
    let log = try await fixture.log()
    let alerts = (0...100).map { AlertFixture.alert($0) }
    let error = await #expect(throws: RPCError.self) { try await log.append(.init(alerts: alerts)) }
    #expect(error?.matches(CommonFailure.invalidParams) == true)
    #expect(try await log.list(.init()).lastSequence == 0)
  }

  @Test func `an alert that is too large is refused with its place`() async throws {
    let log = try await fixture.log()
    var large = AlertFixture.alert(2)
    large.message = String(repeating: "x", count: 4097)
    let alerts = [AlertFixture.alert(1), large]
    let error = await #expect(throws: RPCError.self) { try await log.append(.init(alerts: alerts)) }
    #expect(error?.matches(AlertFailure.alertTooLarge) == true)
    #expect(error?.data["index"] == 1)
  }

  @Test func `the oldest are dropped beyond the bound, and the first number says so`() async throws {
    var limits = AlertLimits()
    limits.held = 3
    let log = try await fixture.log(limits)
    for number in 1...5 { try await log.add(AlertFixture.alert(number)) }
    let result = try await log.list(.init())
    #expect(result.alerts.map(\.sequence) == [3, 4, 5])
    #expect(result.firstSequence == 3)
    #expect(result.lastSequence == 5)
  }

  @Test func `a list filters by every member together`() async throws {
    let log = try await fixture.log()
    try await log.add(
      AlertFixture.alert(1, .info), AlertFixture.alert(2, .error, kind: "legLost", subject: "io0"),
      AlertFixture.alert(3, .critical, kind: "legLost", subject: "io1"),
      AlertFixture.alert(4, .warning, kind: "fanSlow", subject: "io0"))
    _ = try await log.acknowledge(.init(sequences: [4]), by: "anna")
    func list(_ params: ListAlerts.Params) async throws -> [Int64] { try await log.list(params).alerts.map(\.sequence) }
    #expect(try await list(.init(afterSequence: 2)) == [3, 4])
    #expect(try await list(.init(minimumSeverity: .error)) == [2, 3])
    #expect(try await list(.init(subject: "io0")) == [2, 4])
    #expect(try await list(.init(kind: "legLost")) == [2, 3])
    #expect(try await list(.init(state: .acknowledged)) == [4])
    #expect(try await list(.init(limit: 2)) == [1, 2])
    #expect(try await list(.init(newest: true, limit: 2)) == [3, 4])
    #expect(
      try await list(.init(afterSequence: 1, minimumSeverity: .error, subject: "io0", kind: "legLost", state: .open))
        == [2])
  }

  @Test func `acknowledging says who, when and what they said`() async throws {
    let log = try await fixture.log()
    try await log.add(AlertFixture.alert(1))
    let result = try await log.acknowledge(.init(sequences: [1], note: "seen"), by: "anna")
    #expect(result.acknowledged == 1)
    let alert = try #require(try await log.list(.init()).alerts.first)
    #expect(alert.state == .acknowledged && alert.acknowledgedBy == "anna" && alert.note == "seen")
    #expect(alert.acknowledgedMilliseconds == 5_000)
    #expect(try await log.acknowledge(.init(sequences: [1]), by: "otto").acknowledged == 0)
  }

  @Test func `acknowledging through a number takes open alerts only`() async throws {
    let log = try await fixture.log()
    try await log.add(AlertFixture.alert(1), AlertFixture.alert(2, .info), AlertFixture.alert(3), AlertFixture.alert(4))
    #expect(try await log.acknowledge(.init(throughSequence: 3), by: "anna").acknowledged == 2)
    #expect(try await log.list(.init(state: .open)).alerts.map(\.sequence) == [4])
  }

  @Test func `acknowledging an unknown number changes nothing`() async throws {
    let log = try await fixture.log()
    try await log.add(AlertFixture.alert(1))
    let error = await #expect(throws: RPCError.self) {
      try await log.acknowledge(.init(sequences: [1, 9]), by: "anna")
    }
    #expect(error?.matches(AlertFailure.noSuchAlert) == true)
    #expect(try await log.list(.init(state: .open)).alerts.count == 1)
  }

  @Test func `the router takes the name of the caller's Unix user`() async throws {
    let log = try await fixture.log()
    try await log.add(AlertFixture.alert(1))
    _ = try await log.caller().call(AcknowledgeAlerts.self, .init(sequences: [1]))
    #expect(try await log.list(.init()).alerts.first?.acknowledgedBy == "root")
  }

  @Test func `only services may append`() async throws {
    let log = try await fixture.log()
    let operatorCaller = Caller(userID: 1, groupIDs: [], processID: 0, role: .admin, isService: false)
    let caller = log.caller(operatorCaller)
    let error = await #expect(throws: RPCError.self) {
      try await caller.call(AppendAlerts.self, .init(alerts: [AlertFixture.alert(1)]))
    }
    #expect(error?.matches(CommonFailure.forbidden) == true)
  }

  @Test func `a restart finds every alert and knows the keys`() async throws {
    let state = try await fixture.open()
    let first = try await AlertLog(state, now: { 0 })
    let alert = AlertFixture.alert(1)
    try await first.add(alert)
    await state.close()
    let second = try await fixture.log()
    #expect(try await second.add(alert, AlertFixture.alert(2)) == [1, 2])
  }

  @Test func `the loss of a leg loses no alert`() async throws {
    let state = try await fixture.open()
    let log = try await AlertLog(state, now: { 0 })
    try await log.add(AlertFixture.alert(1))
    try FileManager.default.moveItem(atPath: "\(fixture.root)/io0", toPath: "\(fixture.root)/gone")
    #expect(try await log.add(AlertFixture.alert(2)) == [2])
    await state.close()
    let after = try await fixture.log()
    #expect(try await after.list(.init()).alerts.map(\.sequence) == [1, 2])
  }
}
