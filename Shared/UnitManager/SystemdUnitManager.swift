import Systemd

/// The units of systemd, over the system bus. polkit says which of them this process may start and stop.
public struct SystemdUnitManager: UnitManager {
  private let systemd: SystemdClient

  /// One connection for the process: who takes over finds it made.
  private static let shared = SystemdClient()

  /// Nothing is connected to before the first call.
  public init() { systemd = Self.shared }

  public func start(_ unit: String) async throws(UnitError) -> UnitStatus {
    let job = try await asking(unit) { () async throws(BusError) in try await systemd.start(unit) }
    let after = try await asking(unit) { () async throws(BusError) in try await systemd.unit(unit) }
    guard job.result == "done" else {
      throw .startFailed(unit: unit, result: after.result == "success" ? job.result : after.result)
    }
    if job.conditionFailed || !after.conditionHeld, UnitStatus(after).activeState == .inactive {
      throw .conditionFailed(unit: unit)
    }
    return UnitStatus(after)
  }

  public func stop(_ unit: String) async throws(UnitError) {
    do throws(BusError) {
      _ = try await systemd.stop(unit)
    } catch  where error.name == BusErrorName.noSuchUnit || error.name == BusErrorName.loadFailed {
      return
    } catch {
      throw UnitError(error, unit: unit)
    }
    // The job ends with the main process; what else the unit may have left follows by its SIGKILL.
    for _ in 0..<Self.emptyLooks {
      if try await isEmpty(unit) { return }
      do {
        try await Task.sleep(for: Self.emptyPause)
      } catch {
        throw .unavailable(reason: "the wait for the end of \(unit) was cancelled")
      }
    }
    throw .refused(unit: unit, reason: "processes of it are left after it was stopped")
  }

  public func kill(_ unit: String, signal: Int32) async throws(UnitError) {
    do throws(BusError) {
      try await systemd.kill(unit, signal: signal)
    } catch  where BusErrorName.nothingToKill.contains(error.name) {
      return
    } catch {
      throw UnitError(error, unit: unit)
    }
  }

  public func status(_ unit: String) async throws(UnitError) -> UnitStatus {
    UnitStatus(try await asking(unit) { () async throws(BusError) in try await systemd.unit(unit) })
  }

  public func isEmpty(_ unitOrSlice: String) async throws(UnitError) -> Bool {
    let group = try await asking(unitOrSlice) { () async throws(BusError) in
      try await systemd.controlGroup(of: unitOrSlice)
    }
    guard let isEmpty = ControlGroup.isEmpty(group) else {
      throw .unavailable(reason: "the control group \(group) cannot be read")
    }
    return isEmpty
  }

  private static let emptyLooks = 1_000
  private static let emptyPause = Duration.milliseconds(5)

  private func asking<R: Sendable>(
    _ unit: String, _ body: () async throws(BusError) -> R
  ) async throws(UnitError) -> R {
    do throws(BusError) {
      return try await body()
    } catch {
      throw UnitError(error, unit: unit)
    }
  }
}

/// Names of errors of systemd's and of D-Bus's.
private enum BusErrorName {
  static let noSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"
  static let loadFailed = "org.freedesktop.systemd1.LoadFailed"
  static let unitMasked = "org.freedesktop.systemd1.UnitMasked"
  static let noSuchProcess = "org.freedesktop.systemd1.NoSuchProcess"
  static let unixProcessID = "org.freedesktop.DBus.Error.UnixProcessIdUnknown"
  static let accessDenied = BusError.accessDenied
  static let authorization = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
  static let nothingToKill: Set = [noSuchUnit, loadFailed, noSuchProcess, unixProcessID]
}

extension UnitError {
  init(_ error: BusError, unit: String) {
    switch error.name {
    case BusErrorName.noSuchUnit, BusErrorName.loadFailed, BusErrorName.unitMasked: self = .noSuchUnit(unit: unit)
    case BusErrorName.accessDenied, BusErrorName.authorization:
      self = .refused(unit: unit, reason: "\(error.message); check /etc/polkit-1/rules.d/50-ftvs.rules")
    case let name where name.hasPrefix("org.freedesktop.systemd1."): self = .refused(unit: unit, reason: error.message)
    default: self = .unavailable(reason: "\(error)")
    }
  }
}

extension UnitStatus {
  init(_ unit: SystemdUnit) {
    self.init(
      unit: unit.name, activeState: ActiveState(systemdName: unit.activeState), mainProcessID: unit.mainProcessID,
      result: unit.conditionHeld || unit.activeState != "inactive" ? unit.result : "condition")
  }
}
