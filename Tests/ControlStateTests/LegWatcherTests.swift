import FoundationEssentials
import Glibc
import Primitives
import ServiceAPI
import Testing

@testable import ControlState

/// What is told of legs that change under a state that does nothing.
@Suite(.timeLimit(.minutes(1)))
struct LegWatcherTests {
  let fixture = Fixture()

  /// A state that by itself would look again after an hour only.
  private func openWithoutLooks() async throws -> ControlState {
    try await fixture.open { $0.watchInterval = .seconds(3600) }
  }

  @Test func `a leg that vanishes is noticed without waiting for a look`() async throws {
    let state = try await openWithoutLooks()
    #expect(await state.reaches(.inStep, .inStep))
    try fixture.lose(.io1)
    #expect(await state.reaches(.inStep, .lost))
    await state.close()
  }

  @Test func `a shot mark is noticed without waiting for a look`() async throws {
    let state = try await openWithoutLooks()
    #expect(await state.reaches(.inStep, .inStep))
    fixture.shoot(.io0)
    #expect(await state.reaches(.lost, .inStep))
    await state.close()
  }

  @Test func `a database that is removed is noticed without waiting for a look`() async throws {
    let state = try await openWithoutLooks()
    #expect(await state.reaches(.inStep, .inStep))
    #expect(unlink(fixture.leg(.io0) + "/vm/" + LegDatabase.fileName) == 0)
    #expect(await state.reaches(.lost, .inStep))
    await state.close()
  }

  /// The kernel tells nothing of a directory so far above the leg.
  @Test func `what the kernel does not tell is found by a look`() async throws {
    let outer = fixture.root + "/outer"
    let directory = outer + "/inner"
    for leg in ["io0", "io1"] {
      try FileManager.default.createDirectory(atPath: "\(directory)/\(leg)", withIntermediateDirectories: true)
    }
    let state = try await fixture.open {
      $0.legDirectories[.io1] = directory + "/io1/vm"
    }
    #expect(await state.reaches(.inStep, .inStep))
    try FileManager.default.moveItem(atPath: outer, toPath: outer + ".away")
    #expect(await state.reaches(.inStep, .lost))
    try FileManager.default.moveItem(atPath: outer + ".away", toPath: outer)
    #expect(await state.reaches(.inStep, .inStep))
    await state.close()
  }

  @Test func `a leg is back soon after it was lost`() async throws {
    let state = try await fixture.open()
    #expect(await state.reaches(.inStep, .inStep))
    for _ in 0..<3 {
      try fixture.lose(.io0)
      #expect(await state.reaches(.lost, .inStep))
      try fixture.bringBack(.io0)
      #expect(await state.reaches(.inStep, .inStep))
    }
    await state.close()
  }
}

/// What is heard of files and the directories above them.
@Suite(.timeLimit(.minutes(1)))
struct LegNoticesTests {
  let fixture = Fixture()
  private let never: Int32 = -1

  private func notices() -> LegNotices { LegNotices([(fixture.leg(.io0) + "/vm/state", 3), (fixture.mark(.io0), 2)]) }

  private func hears(_ notices: LegNotices) -> Bool {
    notices.wait(milliseconds: 0, stop: never, hearing: true) == .heard
  }

  @Test func `each of the names on the way is heard of, once it is watched`() throws {
    let notices = notices()
    #expect(notices.renew())
    for path in [fixture.leg(.io0) + "/vm", fixture.leg(.io0) + "/vm/state"] {
      #expect(mkdir(path, 0o700) == 0)
      #expect(hears(notices) && notices.renew())
    }
    for path in [fixture.leg(.io0) + "/vm/state", fixture.leg(.io0) + "/vm", fixture.leg(.io0)] {
      #expect(rmdir(path) == 0)
      #expect(hears(notices) && notices.renew())
    }
    #expect(!hears(notices))
  }

  @Test func `a directory that is renamed or loses its rights is heard of`() throws {
    let notices = notices()
    #expect(notices.renew())
    #expect(chmod(fixture.leg(.io0), 0o500) == 0)
    #expect(hears(notices) && notices.renew())
    #expect(rename(fixture.leg(.io0), fixture.leg(.io0) + ".away") == 0)
    #expect(hears(notices) && notices.renew())
    #expect(!hears(notices))
  }

  @Test func `other names and what is written into files are not`() throws {
    let notices = notices()
    #expect(notices.renew())
    #expect(FileManager.default.createFile(atPath: fixture.leg(.io0) + "/other", contents: nil))
    #expect(FileManager.default.createFile(atPath: fixture.mark(.io1), contents: nil))
    #expect(!hears(notices))
    fixture.shoot(.io0)
    #expect(hears(notices))
    #expect(!hears(notices))
  }

  @Test func `what is no longer on the way is forgotten`() throws {
    let notices = notices()
    #expect(notices.renew())
    #expect(rename(fixture.leg(.io0), fixture.leg(.io0) + ".away") == 0)
    #expect(mkdir(fixture.leg(.io0), 0o700) == 0)
    #expect(hears(notices) && notices.renew())
    #expect(mkdir(fixture.leg(.io0) + ".away/vm", 0o700) == 0)
    #expect(!hears(notices))
    #expect(mkdir(fixture.leg(.io0) + "/vm", 0o700) == 0)
    #expect(hears(notices))
  }

  @Test func `a wait ends when it is to stop`() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    var byte: UInt8 = 0
    #expect(write(ends[1], &byte, 1) == 1)
    #expect(notices().wait(milliseconds: 3_600_000, stop: ends[0], hearing: true) == .stopped)
  }
}
