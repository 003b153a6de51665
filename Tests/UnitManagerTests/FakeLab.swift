import Glibc
import LabAPI
import RPC

/// The lab's methods over units that exist in memory only.
actor FakeLab {
  private static let names = [
    "ftvs-vm@cpu0.service", "ftvs-vm@cpu1.service", "ftvs-storage@cpu0.service",
  ]
  private var units = Dictionary(
    uniqueKeysWithValues: names.map { ($0, LabUnit(unit: $0, activeState: "inactive", result: "success")) })
  private var lastProcess = 100

  private func unit(_ name: String) throws(RPCError) -> LabUnit {
    if name == "ftvs-cpu0.slice" {
      let isActive = units.values.contains { $0.processID != nil && $0.unit.contains("cpu0") }
      return LabUnit(unit: name, activeState: isActive ? "active" : "inactive", result: "success")
    }
    guard let unit = units[name] else { throw RPCError(LabFailure.noSuchUnit, "The lab has no unit \(name).") }
    return unit
  }

  private func set(_ unit: LabUnit) { units[unit.unit] = unit }

  private func start(_ name: String) throws(RPCError) -> LabUnit {
    var unit = try unit(name)
    if unit.processID != nil { return unit }
    switch name {
    case "ftvs-vm@cpu0.service":
      lastProcess += 1
      unit = LabUnit(unit: name, activeState: "active", processID: lastProcess, result: "success")
    case "ftvs-vm@cpu1.service": unit.result = "condition"
    default: unit = LabUnit(unit: name, activeState: "failed", result: "exit-code")
    }
    set(unit)
    guard unit.processID != nil else { throw RPCError(LabFailure.unitFailed, "\(name) did not start.") }
    return unit
  }

  private func stop(_ name: String) throws(RPCError) -> LabUnit {
    var unit = try unit(name)
    (unit.activeState, unit.processID) = ("inactive", nil)
    set(unit)
    return unit
  }

  private func kill(_ name: String) throws(RPCError) -> Nothing {
    _ = try unit(name)
    for unit in units.values where unit.unit == name || (name.hasSuffix(".slice") && unit.unit.contains("cpu0")) {
      if unit.processID != nil { _ = try stop(unit.unit) }
    }
    return Nothing()
  }

  nonisolated func router() -> Router {
    var router = Router(title: "lab", version: "1")
    router.serve(StartLabUnit.self) { params, _ throws(RPCError) in try await self.start(params.unit) }
    router.serve(StopLabUnit.self) { params, _ throws(RPCError) in try await self.stop(params.unit) }
    router.serve(KillLabUnit.self) { params, _ throws(RPCError) in try await self.kill(params.unit) }
    router.serve(ShowLabUnit.self) { params, _ throws(RPCError) in try await self.unit(params.unit) }
    return router
  }
}
