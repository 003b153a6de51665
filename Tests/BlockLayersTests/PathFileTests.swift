import Glibc
import Primitives
import Synchronization
import Testing

@testable import BlockLayers

@Suite struct PathFileTests {
  /// A directory that is reached by two paths: itself, and a symbolic link.
  private final class World: Sendable {
    let directory = TemporaryDirectory()
    let events = Mutex<[LegPaths.Event]>([])
    let one: String
    let two: String

    init() {
      one = directory.root
      two = "\(directory.root).second"
      symlink(one, two)
    }

    deinit { unlink(two) }

    func mark(_ number: Int) -> String { directory.path("cut\(number)") }

    func cut(_ number: Int, _ reason: String = "") throws {
      let file = try PosixFile(path: mark(number), mode: .create)
      if !reason.isEmpty { try file.write(Array(reason.utf8), at: 0) }
    }

    func restore(_ number: Int) { unlink(mark(number)) }

    func paths() -> LegPaths {
      LegPaths(
        directories: [one, two], marks: [mark(0), mark(1)],
        tell: { event in self.events.withLock { $0.append(event) } })
    }
  }

  /// Reads by a path that fails with an error number.
  private func read(
    _ file: PathFile, at offset: Int64, failing path: String, _ code: Int32 = EIO
  ) throws -> [UInt8] {
    try file.call { (file) throws(BlockError) in
      if file.name.hasPrefix(path + "/") { throw BlockError(.io, errno: code, file.name) }
      var bytes: [UInt8] = [0, 0, 0]
      var failure: BlockError?
      bytes.withUnsafeMutableBytes { buffer in
        do throws(BlockError) { try file.read(into: buffer, at: offset) } catch { failure = error }
      }
      if let failure { throw failure }
      return bytes
    }
  }

  @Test(arguments: [EIO, ENODEV, ESTALE, ENOTCONN])
  func `a call that fails by one path is made by the other, which carries the leg from then on`(_ code: Int32) throws {
    let world = World()
    let paths = world.paths()
    let file = try PathFile("f", of: paths, mode: .create)
    try file.write([7, 8, 9], at: 0)
    #expect(try read(file, at: 0, failing: world.one, code) == [7, 8, 9])
    #expect(paths.directory == world.two)
    #expect(paths.all.map(\.state.isFailed) == [true, false])
    // What is open goes by the new path; its file is the same.
    try file.write([1], at: 0)
    try file.flush()
    #expect(try world.directory.content("f") == [1, 8, 9])
    guard case .lost(0, _, 1)? = world.events.withLock({ $0.first }) else {
      Issue.record("\(world.events.withLock { $0 })")
      return
    }
    paths.probe { _ in false }
    #expect(paths.all[0].state.isFailed)
    paths.probe { $0 == world.one }
    #expect(paths.all.map(\.state) == [.standby, .active])
    #expect(world.events.withLock { $0.last } == .restored(number: 0))
  }

  @Test func `what fails by both paths is not blamed on one`() throws {
    let world = World()
    let paths = world.paths()
    let file = try PathFile("f", of: paths, mode: .create)
    #expect(throws: BlockError.self) {
      try file.call { (file) throws(BlockError) in throw BlockError(.io, errno: EIO, file.name) }
    }
    #expect(paths.all.map(\.state) == [.active, .standby])
    #expect(world.events.withLock { $0.isEmpty })
  }

  @Test func `a disk that is full is no loss of a path`() throws {
    let world = World()
    let paths = world.paths()
    let file = try PathFile("f", of: paths, mode: .create)
    let calls = Atomic(0)
    #expect(throws: BlockError.self) {
      try file.call { (file) throws(BlockError) in
        calls.add(1, ordering: .relaxed)
        throw BlockError.system(ENOSPC, file.name)
      }
    }
    #expect(calls.load(ordering: .relaxed) == 1)
    #expect(paths.all.map(\.state) == [.active, .standby])
  }

  @Test func `another file by the other path is not taken for this one`() throws {
    let world = World()
    let other = TemporaryDirectory()
    let paths = LegPaths(directories: [world.one, other.root])
    let file = try PathFile("f", of: paths, mode: .create)
    try file.write([7, 8, 9], at: 0)
    try PosixFile(path: other.path("f"), mode: .create).write([1, 2, 3], at: 0)
    #expect(throws: BlockError.self) { try read(file, at: 0, failing: world.one) }
    // The leg is lost, and comes back by the other path: what is open here is not used any more.
    #expect(paths.directory == other.root)
    #expect(throws: BlockError.self) { try file.bytes(at: 0, count: 3) }
  }

  @Test func `a cut path is left at once, and used again only when the mark has gone`() throws {
    let world = World()
    let paths = world.paths()
    let file = try PathFile("f", of: paths, mode: .create)
    try file.write([5], at: 0)
    #expect(paths.lookAtMarks())
    try world.cut(0, "a cable was pulled\n")
    #expect(paths.lookAtMarks() && paths.lookAtMarks())
    #expect(paths.directory == world.two)
    #expect(world.events.withLock { $0 } == [.lost(number: 0, reason: "a cable was pulled", successor: 1)])
    try file.write([6], at: 1)
    paths.probe { _ in true }
    #expect(paths.all[0].state.isFailed)
    try world.cut(1)
    #expect(!paths.lookAtMarks())
    #expect(world.events.withLock { $0.last } == .lost(number: 1, reason: "it was cut", successor: nil))
    world.restore(0)
    paths.probe { _ in true }
    #expect(paths.lookAtMarks() && paths.directory == world.one)
    #expect(try file.bytes(at: 0, count: 2) == [5, 6])
    world.restore(1)
    paths.probe { _ in true }
    #expect(paths.all.map(\.state) == [.active, .standby])
  }

  @Test func `threads that write while paths are cut and restored miss nothing`() throws {
    let world = World()
    let paths = world.paths()
    let file = try PathFile("f", of: paths, mode: .create)
    let isOver = Atomic(false)
    let wrong = AtomicBox()
    let threads = ThreadGroup()
    for number in 0..<4 {
      threads.start {
        var round: UInt8 = 0
        while !isOver.load(ordering: .relaxed) {
          round &+= 1
          let at = Int64(number) * 4096
          if !paths.lookAtMarks() || (try? file.write([round, round], at: at)) == nil
            || (try? file.bytes(at: at, count: 2)) != [round, round]
          {
            _ = wrong.add(1)
          }
        }
      }
    }
    for number in 0..<40 {
      try world.cut(number % 2)
      #expect(paths.lookAtMarks())
      usleep(1000)
      world.restore(number % 2)
      paths.probe { _ in true }
    }
    isOver.store(true, ordering: .relaxed)
    threads.join()
    #expect(wrong.value == 0)
    #expect(world.events.withLock { $0.count } == 80)
  }

  @Test func `a file that is closed while the leg is switched over stays closed`() throws {
    let world = World()
    let paths = world.paths()
    let file = try PathFile("f", of: paths, mode: .create)
    file.close()
    #expect(paths.switchOver(reason: "to see"))
    #expect(throws: BlockError.self) { try file.write([1], at: 0) }
  }

  @Test func `a read that hangs is made by the other path before the leg is given up`() throws {
    let data = LegID.allCases.map { _ in PowerCutFile([UInt8](repeating: 3, count: 8192)) }
    let plan = FaultPlan()
    let lost = Mutex<[LegID]>([])
    let switches = AtomicBox()
    let legs = LegID.allCases.enumerated().map { index, id in
      MirroredFile.Leg(id: id, file: index == 0 ? FaultFile(data[0], plan) : data[1]) {
        false
      } takesOtherPath: {
        plan.clear()
        return switches.add(1) == 1
      }
    }
    let mirror = try MirroredFile(name: "m", legs: legs, calls: LegCalls(bound: .milliseconds(300))) { leg, _ in
      lost.withLock { $0.append(leg) }
    }
    plan.add(.init(.read, .delay(microseconds: 2_000_000), times: 1))
    #expect(try mirror.bytes(at: 0, count: 2) == [3, 3])
    #expect(switches.value == 1 && lost.withLock { $0.isEmpty })
  }
}
