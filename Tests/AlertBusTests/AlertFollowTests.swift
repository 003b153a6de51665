import AlertAPI
import AlertBusCore
import ControlState
import Primitives
import RPC
import Testing

@Suite(.timeLimit(.minutes(1)))
struct AlertFollowTests {
  let fixture = AlertFixture()

  @Test func `a follower gets what is there and then what comes, once each and in order`() async throws {
    let log = try await fixture.log()
    for number in 1...250 { try await log.add(AlertFixture.alert(number)) }
    let events = try await log.caller().subscribe(FollowAlerts.self, .init(afterSequence: 10))
    let writer = Task { for number in 251...400 { try await log.add(AlertFixture.alert(number)) } }
    var numbers: [Int64] = []
    for try await event in events {
      numbers.append(event.alert?.sequence ?? -1)
      if numbers.last == 400 { break }
    }
    try await writer.value
    #expect(numbers == Array(11...400))
  }

  @Test func `a follower without a number starts with the next alert`() async throws {
    let log = try await fixture.log()
    try await log.add(AlertFixture.alert(1))
    let events = try await log.follow(.init())
    try await log.add(AlertFixture.alert(2))
    var iterator = events.makeAsyncIterator()
    #expect(try await iterator.next()?.alert?.sequence == 2)
  }

  @Test func `a follower of dropped alerts is told of the gap first`() async throws {
    var limits = AlertLimits()
    limits.held = 2
    let log = try await fixture.log(limits)
    for number in 1...5 { try await log.add(AlertFixture.alert(number)) }
    var iterator = try await log.follow(.init(afterSequence: 1)).makeAsyncIterator()
    #expect(try await iterator.next() == AlertEvent(missedThroughSequence: 3))
    #expect(try await iterator.next()?.alert?.sequence == 4)
    #expect(try await iterator.next()?.alert?.sequence == 5)
  }

  @Test func `a slow follower is told of what was dropped while it did not read`() async throws {
    var limits = AlertLimits()
    limits.held = 3
    limits.page = 1
    let log = try await fixture.log(limits)
    try await log.add(AlertFixture.alert(1))
    var iterator = try await log.follow(.init(afterSequence: 0)).makeAsyncIterator()
    #expect(try await iterator.next()?.alert?.sequence == 1)
    for number in 2...9 { try await log.add(AlertFixture.alert(number)) }
    #expect(try await iterator.next() == AlertEvent(missedThroughSequence: 6))
    #expect(try await iterator.next()?.alert?.sequence == 7)
  }

  @Test func `a follower that is cancelled while it waits ends`() async throws {
    let log = try await fixture.log()
    let events = try await log.follow(.init())
    let reader = Task { for try await _ in events {} }
    reader.cancel()
    try await reader.value
  }

  @Test func `a number that was never given means now`() async throws {
    let log = try await fixture.log()
    var iterator = try await log.follow(.init(afterSequence: 1000)).makeAsyncIterator()
    try await log.add(AlertFixture.alert(1))
    #expect(try await iterator.next()?.alert?.sequence == 1)
  }
}
