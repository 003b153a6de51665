import Foundation
import Synchronization
import Testing

@testable import StorageCore

@Suite struct ShotMarkTests {
  private let path = FileManager.default.temporaryDirectory.path + "/ftvs-mark-\(UUID().uuidString.prefix(8))"

  private final class Clock: Sendable {
    private let now = Atomic<Int64>(0)
    var tick: @Sendable () -> Int64 { { self.now.load(ordering: .relaxed) } }
    func advance() { now.add(1, ordering: .relaxed) }
  }

  @Test func `a mark is seen in the tick after it was written, and its removal at once`() throws {
    defer { try? FileManager.default.removeItem(atPath: path) }
    let clock = Clock()
    let mark = ShotMark(path: path, tick: clock.tick)
    #expect(!mark.wasThere)
    try Data().write(to: URL(filePath: path))
    #expect(!mark.wasThere && mark.isThere)
    clock.advance()
    #expect(mark.wasThere)
    try FileManager.default.removeItem(atPath: path)
    #expect(!mark.wasThere && !mark.isThere)
  }

  @Test func `the kernel's tick ends`() {
    let began = ShotMark.kernelTick()
    let end = ContinuousClock.now + .seconds(2)
    while ShotMark.kernelTick() == began, ContinuousClock.now < end {}
    #expect(ShotMark.kernelTick() > began)
    #expect(ShotMark.kernelTick() - began < 1_000_000_000)
  }
}
