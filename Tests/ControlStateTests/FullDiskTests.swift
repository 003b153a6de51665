import FoundationEssentials
import Glibc
import Primitives
import RPC
import ServiceAPI
import Testing

@testable import ControlState

/// Legs that are file systems of a few MiB, where this process may mount them. Unmounted with the object.
private final class SmallLegs: Sendable {
  let fixture = Fixture()

  init() throws {
    for leg in LegID.allCases { try #require(mount("tmpfs", fixture.leg(leg), "tmpfs", 0, "size=8m") == 0) }
  }

  deinit { for leg in LegID.allCases { umount2(fixture.leg(leg), Int32(MNT_DETACH)) } }

  private func filler(_ leg: LegID) -> String { fixture.leg(leg) + "/filler" }

  /// Takes all the space there is.
  func fill(_ legs: [LegID] = LegID.allCases) throws {
    for leg in legs {
      let descriptor = open(filler(leg), O_WRONLY | O_CREAT | O_APPEND, 0o600)
      try #require(descriptor >= 0)
      let bytes = [UInt8](repeating: 1, count: 4096)
      while write(descriptor, bytes, bytes.count) > 0 {}
      close(descriptor)
    }
  }

  func empty() { for leg in LegID.allCases { unlink(filler(leg)) } }

  func hasReserve(_ leg: LegID) -> Bool {
    var facts = stat()
    return stat("\(fixture.leg(leg))/vm/\(Reserve.fileName)", &facts) == 0 && facts.st_size == Reserve.databaseBytes
  }

  static let arePossible: Bool = {
    let directory = FileManager.default.temporaryDirectory.path + "/ftvs-state-mount-\(getpid())"
    mkdir(directory, 0o700)
    defer { rmdir(directory) }
    guard mount("tmpfs", directory, "tmpfs", 0, "size=1m") == 0 else { return false }
    umount2(directory, Int32(MNT_DETACH))
    return true
  }()
}

@Suite(.timeLimit(.minutes(1)), .enabled(if: SmallLegs.arePossible, "needs the right to mount a tmpfs"))
struct FullDiskTests {
  private let small: SmallLegs
  private var fixture: Fixture { small.fixture }

  init() throws { small = try SmallLegs() }

  /// Writes until that is refused. Returns how many items there are then.
  private func writeUntilRefused(_ state: ControlState) async throws -> Int {
    let text = String(repeating: "x", count: 100_000)
    let error = await #expect(throws: RPCError.self) { while true { try await state.add(text) } }
    #expect(error?.matches(CommonFailure.stateUnavailable) == true)
    #expect(error?.message.contains("the disk is full") == true)
    return try await state.items().count
  }

  @Test func `with not a byte left the state opens again and again, is read, and goes on with room`() async throws {
    var state = try await fixture.open()
    try await state.add("a")
    try small.fill()
    var count = try await writeUntilRefused(state)
    for _ in 0..<40 {
      await state.close()
      try small.fill()
      let epoch = state.epoch
      state = try await fixture.open()
      #expect(state.epoch == epoch + 1)
      #expect(state.legs().map(\.state) == [.inStep, .inStep])
      #expect(try await state.items().count == count)
      try small.fill()
      count = try await writeUntilRefused(state)
    }
    small.empty()
    try await state.add("b")
    #expect(try await state.items().count == count + 1)
    await state.close()
  }

  @Test func `a leg is dropped on record also when the other one is full`() async throws {
    let state = try await fixture.open()
    try await state.add("a")
    try small.fill()
    let count = try await writeUntilRefused(state)
    try small.fill()
    try await state.dropLeg(.io1, reason: "test")
    #expect(state.legs().map(\.state) != [.inStep, .inStep])
    #expect(try await state.items().count == count)
    await state.close()
  }

  @Test func `a small change is still made when the disk is full, in the place of the log`() async throws {
    let before = try await fixture.open()
    for number in 0..<20 { try await before.add("\(number)") }
    await before.close()
    let state = try await fixture.open()
    try small.fill()
    try await state.write { try $0.execute("DELETE FROM item WHERE id > 10") }
    #expect(try await state.items().count == 10)
    #expect(state.legs().map(\.state) == [.inStep, .inStep])
    await state.close()
  }

  @Test func `a full leg is dropped, keeps no half copy, and is taken back when it has room`() async throws {
    let state = try await fixture.open()
    try small.fill([.io1])
    for _ in 0..<12 { try await state.add(String(repeating: "x", count: 100_000)) }
    let status = try #require(state.legs().last)
    #expect(status.state == .lost)
    #expect(status.reason?.contains("free space") == true)
    await state.checkLegs()
    for await legs in state.legChanges() where legs.last?.state == .lost { break }
    // Removed after the leg was given up: nobody waits for a leg that failed.
    while access("\(fixture.leg(.io1))/vm/state.sqlite.new", F_OK) == 0 { try await Task.sleep(for: .milliseconds(5)) }
    small.empty()
    #expect(await state.reaches(.inStep, .inStep))
    #expect(try await state.items().count == 12)
    await state.close()
  }

  @Test func `the reserve is taken again as soon as there is room`() async throws {
    let state = try await fixture.open()
    while !LegID.allCases.allSatisfy(small.hasReserve) { try await Task.sleep(for: .milliseconds(5)) }
    await state.close()
    try small.fill()
    for leg in LegID.allCases { unlink("\(fixture.leg(leg))/vm/\(Reserve.fileName)") }
    let again = try await fixture.open()
    #expect(!small.hasReserve(.io0))
    small.empty()
    while !LegID.allCases.allSatisfy(small.hasReserve) { try await Task.sleep(for: .milliseconds(5)) }
    await again.close()
  }
}
