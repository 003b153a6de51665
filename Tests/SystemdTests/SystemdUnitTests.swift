import Glibc
import Testing

@testable import Systemd

struct SystemdUnitTests {
  @Test func aConditionThatWasNeverLookedAtHolds() {
    var unit = SystemdUnit(name: "ftvs-vm@cpu0.service")
    unit.merge(["ConditionResult": .bool(false), "ConditionTimestampMonotonic": .uint64(0)])
    #expect(unit.conditionHeld)
    unit.merge(["ConditionTimestampMonotonic": .uint64(5)])
    #expect(!unit.conditionHeld)
  }

  @Test func aMainProcessOfZeroIsNone() {
    var unit = SystemdUnit(name: "x.service")
    unit.merge(["MainPID": .uint32(17), "ActiveState": .string("active")])
    #expect(unit.mainProcessID == 17 && unit.activeState == "active")
    unit.merge(["MainPID": .uint32(0)])
    #expect(unit.mainProcessID == nil)
  }

  @Test func namesOfUnitsBecomePaths() {
    #expect(
      BusSession.path(of: "ftvs-storage@cpu0.service")
        == "/org/freedesktop/systemd1/unit/ftvs_2dstorage_40cpu0_2eservice")
  }

  @Test func aGroupIsEmptyWhenTheKernelSaysSoOrItIsGone() throws {
    let root = "/tmp/ftvs-cgroup-\(getpid())"
    mkdir(root, 0o700)
    mkdir("\(root)/a.slice", 0o700)
    defer {
      unlink("\(root)/a.slice/cgroup.events")
      rmdir("\(root)/a.slice")
      rmdir(root)
    }
    func write(_ text: String) throws {
      let descriptor = open("\(root)/a.slice/cgroup.events", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      try #require(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
      close(descriptor)
    }
    try write("populated 1\nfrozen 0\n")
    #expect(ControlGroup.isEmpty("/a.slice", root: root) == false)
    try write("populated 0\nfrozen 0\n")
    #expect(ControlGroup.isEmpty("/a.slice", root: root) == true)
    try write("")
    #expect(ControlGroup.isEmpty("/a.slice", root: root) == nil)
    #expect(ControlGroup.isEmpty("/b.slice", root: root) == true)
    #expect(ControlGroup.isEmpty("", root: root) == true)
    #expect(ControlGroup.isEmpty("/", root: root) == nil)
  }
}
