import BlockLayers
import Primitives
import ServiceAPI
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

@Suite(.timeLimit(.minutes(1))) struct PaceTests {
  private let mebibyte: Int64 = 1 << 20

  @Test func withIdleGuestsThereIsNoPause() {
    #expect(ResyncPace.pause(afterPieceOf: mebibyte, taking: .milliseconds(10), areGuestsBusy: false) == .zero)
  }

  @Test func withBusyGuestsAQuarterOfTheTimeIsUsed() {
    let pause = ResyncPace.pause(afterPieceOf: mebibyte, taking: .milliseconds(10), areGuestsBusy: true)
    #expect(pause == .milliseconds(30))
  }

  @Test func itNeverGetsSlowerThanTheLowestRate() {
    let pause = ResyncPace.pause(afterPieceOf: mebibyte, taking: .milliseconds(200), areGuestsBusy: true)
    #expect(pause == .milliseconds(50))
    #expect(ResyncPace.pause(afterPieceOf: mebibyte, taking: .seconds(2), areGuestsBusy: true) == .zero)
    #expect(ResyncPace.pause(afterPieceOf: 0, taking: .milliseconds(1), areGuestsBusy: true) == .zero)
  }

  @Test func guestsAreBusyWhenTheyWaitOrAskedSinceTheLastLook() {
    let activity = Mutex(ResyncPace.Activity())
    let pace = ResyncPace { activity.withLock { $0 } }
    #expect(!pace.areGuestsBusy())
    activity.withLock { $0.begun = 5 }
    #expect(pace.areGuestsBusy())
    #expect(!pace.areGuestsBusy())
    activity.withLock { $0.inFlight = 1 }
    #expect(pace.areGuestsBusy())
    #expect(pace.areGuestsBusy())
    activity.withLock { $0.inFlight = 0 }
    #expect(!pace.areGuestsBusy())
  }

  @Test func theRateRisesAsSoonAsGuestsRest() {
    let activity = Mutex(ResyncPace.Activity(begun: 1, inFlight: 1))
    let pace = ResyncPace { activity.withLock { $0 } }
    var pauses: [Duration] = []
    var run = pace.run { pauses.append($0) }
    run.paced(mebibyte)
    #expect(pauses.count == 1)
    activity.withLock { $0.inFlight = 0 }
    run.paced(2 * mebibyte)
    run.paced(3 * mebibyte)
    #expect(pauses.count == 1)
    #expect(pace.paused == pauses.reduce(.zero, +))
  }

  @Test func aResyncPausesForAGuestThatWrites() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk", size: 64 << 20)
    let device = try await storage.export("disk")
    let writer = Writer(device)
    await writer.waitForWrites()
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    await writer.waitForWrites()
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    let (_, failures) = await writer.stop()
    #expect(failures.isEmpty)
    let metric = try #require(await storage.service.metrics().first { $0.name == "copyPauseSeconds" })
    #expect(metric.value > 0)
    device.close()
    await storage.stop()
    #expect(try host.legsAreEqual())
  }

  @Test func aResyncThatNobodyWaitsForNeverPauses() async throws {
    let host = try TestHost()
    let storage = try await host.start()
    try await storage.create("disk")
    try host.shoot(.io1)
    _ = try await host.alerts.first("legLost")
    try await storage.write("missed", to: "disk", at: 0)
    try host.bringBack(.io1)
    await storage.waitForLegs { $0[.io1] == .inStep }
    let metric = try #require(await storage.service.metrics().first { $0.name == "copyPauseSeconds" })
    #expect(metric.value == 0)
    await storage.stop()
  }
}
