import Foundation
import LabAPI
import RPC
import Testing

@testable import Lab

@Suite("Units of a lab", .serialized, .timeLimit(.minutes(2)))
struct LabUnitTests {
  @Test("Every unit of a host becomes ready and tells what it does")
  func startsAll() async throws {
    try await LabHarness.run { lab in
      try await lab.allReady()
      let units = try await lab.units()
      #expect(units.map(\.unit) == UnitName.standing.map(\.description))
      #expect(units.filter { $0.activeState != "active" || $0.status != "ready" } == [])
    }
  }

  @Test("A service finds its sockets by name and its own number in LISTEN_PID")
  func handsOnSockets() async throws {
    try await LabHarness.run { lab in
      try await lab.start("ftvs-storage@cpu0.service")
      #expect(try lab.log("ftvs-storage@cpu0.service") == "names storage:nbd count 2 own True\n")
    }
  }

  @Test("A unit whose process is killed is started again")
  func restarts() async throws {
    try await LabHarness.run { lab in
      let name = "ftvs-vm@cpu1.service"
      let before = try await lab.start(name).processID
      try await lab.kill(name)
      let after = try await lab.await(name) { $0.activeState == "active" && $0.processID != before }
      #expect(after.processID != nil)
    }
  }

  @Test("A unit that gives no sign of life is killed and started again")
  func watchdog() async throws {
    let name = "ftvs-alerts@cpu0.service"
    try await LabHarness.run(behaviour: [name: "hang"], watchdog: .milliseconds(300)) { lab in
      let ended = try await lab.await(name) { $0.result == "watchdog" }
      #expect(ended.activeState == "activating")
    }
  }

  @Test("A unit that ends before it is ready fails the start, and is tried again")
  func failedStart() async throws {
    let name = "ftvs-hardware@cpu0.service"
    try await LabHarness.run(behaviour: [name: "refuse"]) { lab in
      let error = await #expect(throws: RPCError.self) { try await lab.start(name) }
      #expect(error?.matches(LabFailure.unitFailed) == true)
      #expect(error?.data["result"] == "exit-code")
    }
  }

  @Test("The kill of a slice ends the units of its module and no other")
  func killsSlice() async throws {
    try await LabHarness.run { lab in
      try await lab.allReady()
      let before = Dictionary(uniqueKeysWithValues: try await lab.units().map { ($0.unit, $0.processID) })
      try await lab.kill("ftvs-cpu0.slice")
      for service in ["hardware", "vm", "storage", "alerts", "module"] {
        let name = "ftvs-\(service)@cpu0.service"
        _ = try await lab.await(name) { $0.processID != before[name] }
        let other = "ftvs-\(service)@cpu1.service"
        #expect(try await lab.unit(other).processID == before[other])
      }
    }
  }

  @Test("A shot mark keeps a module's units down until it is removed")
  func shotMark() async throws {
    try await LabHarness.run { lab in
      let name = "ftvs-storage@cpu0.service"
      try await lab.allReady()
      try lab.mark("cpu0")
      try await lab.kill("ftvs-cpu0.slice")
      let down = try await lab.await(name) { $0.activeState == "inactive" }
      #expect(down.result == "condition")
      let error = await #expect(throws: RPCError.self) { try await lab.start(name) }
      #expect(error?.data["result"] == "condition")
      try lab.unmark("cpu0")
      #expect(try await lab.start(name).activeState == "active")
    }
  }

  @Test("A slice is active while a process of it is left")
  func sliceState() async throws {
    try await LabHarness.run { lab in
      try await lab.allReady()
      #expect(try await lab.unit("ftvs-cpu1.slice").activeState == "active")
      try lab.mark("cpu1")
      try await lab.kill("ftvs-cpu1.slice")
      for name in UnitName.standing where name.module == .cpu1 {
        _ = try await lab.await("\(name)") { $0.activeState == "inactive" }
      }
      #expect(try await lab.unit("ftvs-cpu1.slice").activeState == "inactive")
    }
  }

  @Test("When a stop is answered no process of the unit is left, not even one that left its session")
  func stopsStrays() async throws {
    let name = "ftvs-vm@cpu0.service"
    try await LabHarness.run(behaviour: [name: "stray"]) { lab in
      try await lab.start(name)
      let line = try #require(try lab.log(name).split(separator: "\n").first { $0.hasPrefix("stray ") })
      let stray = try #require(Int32(line.dropFirst(6)))
      #expect(kill(stray, 0) == 0)
      let stopped = try await lab.client.call(StopLabUnit.self, .init(unit: name))
      #expect(stopped.activeState == "inactive" && stopped.processID == nil)
      #expect(ProcessTable.entry(stray).map { $0.state == UInt8(ascii: "Z") } ?? true)
    }
  }

  @Test("A slice is stopped as a whole, and its units stay down")
  func stopsSlice() async throws {
    try await LabHarness.run { lab in
      try await lab.allReady()
      let stopped = try await lab.client.call(StopLabUnit.self, .init(unit: "ftvs-cpu0.slice"))
      #expect(stopped.activeState == "inactive")
      let units = try await lab.units()
      #expect(units.filter { $0.unit.hasSuffix("@cpu0.service") }.allSatisfy { $0.activeState == "inactive" })
      #expect(units.filter { $0.unit.hasSuffix("@cpu1.service") }.allSatisfy { $0.activeState == "active" })
    }
  }

  @Test("A guest runs what its arguments say and is not started again")
  func guest() async throws {
    try await LabHarness.run { lab in
      let name = "ftvs-guest-cpu1@7.service"
      try "sleep 1000".write(toFile: "\(lab.paths.run)/guest/7/cpu1.args", atomically: true, encoding: .utf8)
      #expect(try await lab.unit(name).activeState == "inactive")
      #expect(try await lab.start(name).activeState == "active")
      try await lab.kill("ftvs-cpu1.slice")
      let ended = try await lab.await(name) { $0.processID == nil }
      #expect(ended.activeState == "failed" && ended.result == "signal")
    }
  }

  @Test("A name that no unit has is refused with the name")
  func unknownUnit() async throws {
    try await LabHarness.run { lab in
      for name in ["ftvs-guest-cpu0@64.service", "ftvs-storage@io0.service", "sshd.service", ""] {
        let error = await #expect(throws: RPCError.self) { try await lab.unit(name) }
        #expect(error?.matches(LabFailure.noSuchUnit) == true)
      }
    }
  }

  @Test("A connection to a service of which no instance runs starts it")
  func activation() async throws {
    try await LabHarness.run { lab in
      let names = ["ftvs-alerts@cpu0.service", "ftvs-alerts@cpu1.service"]
      for name in names {
        try await lab.start(name)
        _ = try await lab.client.call(StopLabUnit.self, .init(unit: name))
      }
      let connection = try TestSocket(connectedTo: "\(lab.paths.run)/alerts.sock")
      defer { connection.close() }
      for name in names { _ = try await lab.await(name) { $0.activeState == "active" } }
    }
  }
}
