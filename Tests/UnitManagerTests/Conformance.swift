import Glibc
import Testing
import UnitManager

/// What every unit manager does alike. It wants the unit `good`, which can be started, `shot`, which a condition keeps from it,
/// `failing`, which ends instead of becoming ready, and `slice`, which holds `good`.
struct Conformance {
  let manager: any UnitManager
  var good = "ftvs-vm@cpu0.service"
  var shot = "ftvs-vm@cpu1.service"
  var failing = "ftvs-storage@cpu0.service"
  var slice = "ftvs-cpu0.slice"

  func run() async throws {
    try await startsAndStops()
    try await startsTwice()
    try await refuses()
    try await killsASlice()
  }

  private func startsAndStops() async throws {
    #expect(try await manager.status(good).activeState == .inactive)
    #expect(try await manager.isEmpty(good))
    let started = try await manager.start(good)
    #expect(started.unit == good && started.activeState == .active && started.mainProcessID != nil)
    #expect(try await manager.status(good) == started)
    #expect(try await !manager.isEmpty(good))
    #expect(try await !manager.isEmpty(slice))
    try await manager.stop(good)
    #expect(try await manager.isEmpty(good))
    let stopped = try await manager.status(good)
    #expect(stopped.activeState == .inactive && stopped.mainProcessID == nil)
  }

  private func startsTwice() async throws {
    let first = try await manager.start(good)
    #expect(try await manager.start(good) == first)
    try await manager.stop(good)
    try await manager.stop(good)
  }

  private func refuses() async throws {
    await #expect(throws: UnitError.conditionFailed(unit: shot)) { try await manager.start(shot) }
    let error = await #expect(throws: UnitError.self) { try await manager.start(failing) }
    guard case .startFailed(failing, _)? = error else {
      Issue.record("\(failing) was started, or failed with \(String(describing: error))")
      return
    }
    let unknown = await #expect(throws: UnitError.self) { try await manager.start("ftvs-nothing@cpu0.service") }
    #expect(unknown == .noSuchUnit(unit: "ftvs-nothing@cpu0.service"))
  }

  private func killsASlice() async throws {
    _ = try await manager.start(good)
    try await manager.kill(slice, signal: SIGKILL)
    // It may be started anew by itself; stopping ends that.
    try await manager.stop(good)
    #expect(try await manager.isEmpty(slice))
    try await manager.kill(slice, signal: SIGKILL)
  }
}
