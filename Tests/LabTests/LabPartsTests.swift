import Primitives
import Testing

@testable import Lab

@Suite("Parts of a lab")
struct LabPartsTests {
  @Test("Unit names are those of systemd, and what is none is refused")
  func unitNames() {
    for name in UnitName.standing + [.guest(.cpu0, slot: 0), .guest(.cpu1, slot: 63)] {
      #expect(UnitName(name.description) == name)
    }
    for text in ["ftvs-guest-cpu0@07.service", "ftvs-guest-io0@1.service", "ftvs-vm@cpu2.service", "ftvs-vm@cpu0"] {
      #expect(UnitName(text) == nil)
    }
    #expect(SliceName("ftvs-cpu1.slice")?.contains(.guest(.cpu1, slot: 3)) == true)
    #expect(SliceName("ftvs-io1.slice") == nil)
  }

  @Test("Reports of a unit are read line by line, and unknown ones are skipped")
  func notifications() {
    let report = Notification("READY=1\nSTATUS=serves since 3\nWATCHDOG=1\nFDSTORE=1\n", sender: 7)
    #expect(report.isReady && report.isAlive && !report.isStopping && !report.isHung)
    #expect(report.status == "serves since 3" && report.sender == 7)
    #expect(Notification("WATCHDOG=trigger", sender: 0).isHung)
    #expect(Notification("STOPPING=1", sender: 0).isStopping)
  }

  @Test("Times and jobs run on the loop's one thread, in order of time")
  func eventLoop() async throws {
    let loop = try EventLoop()
    let order = await LoopProbe(loop: loop).order()
    #expect(order == [1, 2, 3])
    loop.stop()
  }

  @Test("What is asked after the loop's end is answered all the same")
  func afterTheEnd() async throws {
    let loop = try EventLoop()
    let probe = LoopProbe(loop: loop)
    loop.stop()
    for number in 0..<100 { #expect(await probe.echo(number) == number) }
  }
}

private actor LoopProbe {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
  private var seen: [Int] = []

  init(loop: EventLoop) { self.loop = loop }

  func echo(_ number: Int) -> Int { number }

  func order() async -> [Int] {
    await withCheckedContinuation { continuation in
      for (number, pause) in [(3, 30), (1, 0), (2, 10)] {
        loop.after(.milliseconds(pause)) {
          self.assumeIsolated { probe in
            probe.seen.append(number)
            if probe.seen.count == 3 { continuation.resume(returning: probe.seen) }
          }
        }
      }
    }
  }
}
