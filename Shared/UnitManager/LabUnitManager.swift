import FTVSClient
import LabAPI
import RPC

/// The units of the lab: plain processes that `ftctl lab up` started.
public struct LabUnitManager: UnitManager {
  private let lab: any RPCCaller

  /// Nothing is connected to before the first call.
  public init(socketPath: String) { lab = ServiceClient(socketPath: socketPath) }

  /// Units behind any caller of the lab's methods.
  public init(calling lab: any RPCCaller) { self.lab = lab }

  public func start(_ unit: String) async throws(UnitError) -> UnitStatus {
    do throws(RPCError) {
      return UnitStatus(try await lab.call(StartLabUnit.self, .init(unit: unit)))
    } catch  where error.matches(LabFailure.unitFailed) {
      let after = try await status(unit)
      throw after.result == "condition"
        ? .conditionFailed(unit: unit) : .startFailed(unit: unit, result: after.result)
    } catch {
      throw UnitError(error, unit: unit)
    }
  }

  public func stop(_ unit: String) async throws(UnitError) {
    _ = try await asking(unit) { () async throws(RPCError) in try await lab.call(StopLabUnit.self, .init(unit: unit)) }
  }

  public func kill(_ unit: String, signal: Int32) async throws(UnitError) {
    _ = try await asking(unit) { () async throws(RPCError) in
      try await lab.call(KillLabUnit.self, .init(unit: unit, signal: Int(signal)))
    }
  }

  public func status(_ unit: String) async throws(UnitError) -> UnitStatus {
    do throws(RPCError) {
      return UnitStatus(try await lab.call(ShowLabUnit.self, .init(unit: unit)))
    } catch  where error.matches(LabFailure.noSuchUnit) {
      return UnitStatus(unit: unit, activeState: .inactive)
    } catch {
      throw UnitError(error, unit: unit)
    }
  }

  public func isEmpty(_ unitOrSlice: String) async throws(UnitError) -> Bool {
    let status = try await status(unitOrSlice)
    return status.mainProcessID == nil && status.activeState != .active && status.activeState != .deactivating
  }

  private func asking<R: Sendable>(
    _ unit: String, _ body: () async throws(RPCError) -> R
  ) async throws(UnitError) -> R {
    do throws(RPCError) {
      return try await body()
    } catch {
      throw UnitError(error, unit: unit)
    }
  }
}

extension UnitError {
  init(_ error: RPCError, unit: String) {
    switch error {
    case _ where error.matches(LabFailure.noSuchUnit): self = .noSuchUnit(unit: unit)
    case _ where error.matches(LabFailure.unitFailed): self = .startFailed(unit: unit, result: error.message)
    case _ where error.matches(CommonFailure.forbidden): self = .refused(unit: unit, reason: error.message)
    default: self = .unavailable(reason: error.message)
    }
  }
}

extension UnitStatus {
  init(_ unit: LabUnit) {
    self.init(
      unit: unit.unit, activeState: ActiveState(systemdName: unit.activeState),
      mainProcessID: unit.processID.flatMap { Int32(exactly: $0) }, result: unit.result)
  }
}
