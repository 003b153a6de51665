import Glibc
import Primitives
import RPC
import StorageAPI
import UnitManager
import VMAPI

/// Proofs that a guest is gone, from which its next start follows.
extension VMMonitor {
  /// Ends whatever runs in a machine's slot, on either module, and returns when no process of it is left.
  ///
  /// Stopping also withdraws a start that a monitor before this one had queued.
  func proveGone(_ name: VMName) async throws(RPCError) {
    guard let slot = machines[name]?.record.slot else { return }
    let units = environment.units
    // Both at once: the unit manager's answers are what a recovery waits for longest.
    async let first = Self.end(Machine.unit(.cpu0, slot: slot), units)
    async let second = Self.end(Machine.unit(.cpu1, slot: slot), units)
    for failure in await [first, second] {
      if let failure { throw RPCError(failure, name) }
    }
  }

  /// Ends a unit; nil when no process of it is left.
  private static func end(_ unit: String, _ units: any UnitManager) async -> UnitError? {
    do throws(UnitError) {
      if try await !units.isEmpty(unit) { try await units.kill(unit, signal: SIGKILL) }
      try await units.stop(unit)
      return nil
    } catch {
      if case .noSuchUnit = error { return nil }
      return error
    }
  }

  /// Ends every session of a machine's disks; older exports are refused for good.
  ///
  /// - Returns: the disks as they are then.
  @discardableResult func fenceDisks(_ name: VMName) async throws(RPCError) -> [VolumeStatus] {
    var fenced: [VolumeStatus] = []
    for volume in machines[name]?.volumes ?? [] {
      do {
        fenced.append(try await environment.storage.call(FenceVolume.self, .init(volume: volume)))
      } catch {
        // Made at the first start.
        guard isVariables(volume, of: name), error.matches(StorageFailure.noSuchVolume) else {
          throw storageError(error, volume)
        }
      }
    }
    machines[name]?.holdsDisks = false
    return fenced
  }

  /// Gives the disks back after an end. Where storage is away this is repeated later: nothing waits for it, for a start
  /// fences first.
  func releaseDisks(_ name: VMName) async {
    machines[name]?.holdsDisks = true
    let done = await within(timing.releasePatience) { [weak self] in
      (try? await self?.fenceDisks(name)) != nil
    }
    guard done != true, let machine = machines[name], machine.holdsDisks, !machine.volumes.isEmpty else { return }
    logger.warning("Disks are still exported; storage is asked again", metadata: ["vm": "\(name)"])
    Task { [weak self, longestBackoff = timing.longestBackoff] in
      try? await Task.sleep(for: longestBackoff)
      await self?.releaseAgain(name)
    }
  }

  private func releaseAgain(_ name: VMName) async {
    _ = try? await exclusive(name) { monitor async throws(RPCError) in
      guard let machine = monitor.machines[name], machine.holdsDisks,
        !machine.record.phase.hasProcess
      else { return }
      await monitor.releaseDisks(name)
    }
  }

  /// Makes the disks reachable for the guest's user.
  func exportDisks(_ name: VMName) async throws(RPCError) -> [GuestPlan.Disk] {
    guard let machine = machines[name] else { return [] }
    var disks: [GuestPlan.Disk] = []
    for disk in try readable(machine).disks {
      guard let volume = disk.volume else { continue }
      let export = try await export(volume, to: try await guestUser(machine))
      disks.append(.init(disk: disk, exportName: export.name, socketPath: export.socketPath))
    }
    return disks
  }

  /// Makes the variables of UEFI firmware reachable for the guest's user; at the first start they are made of the
  /// firmware's own image.
  func exportVariables(_ name: VMName) async throws(RPCError) -> GuestPlan.Export? {
    guard let machine = machines[name], let uefi = try readable(machine).boot.firmware.uefi else { return nil }
    let volume = uefi.variables
    do throws(RPCError) {
      if try await !environment.storage.call(ProvideVolume.self, .init(volume: volume)).provided {
        let template = uefi.template
        guard let bytes = await templates.run({ FileSystem.read(template, limit: Self.templateBytes) }) else {
          throw RPCError(
            VMFailure.engineFailed,
            "The firmware's variables begin as \(template), which cannot be read; install the package ovmf, or name "
              + "another one in <nvram>.")
        }
        _ = try await environment.storage.call(
          ProvideVolume.self, .init(volume: volume, data: Base64.encode(bytes[...])))
      }
    } catch {
      throw error.matches(VMFailure.engineFailed) ? error : storageError(error, volume)
    }
    return try await export(volume, to: try await guestUser(machine))
  }

  /// Largest image of variables: what one call to storage carries.
  private static let templateBytes = 4 << 20

  private func isVariables(_ volume: VolumeName, of name: VMName) -> Bool {
    (try? machines[name]?.domain.get())?.boot.firmware.uefi?.variables == volume
  }

  private func guestUser(_ machine: Machine) async throws(RPCError) -> UInt32 {
    guard let user = await environment.guestUser(machine.record.slot) else {
      throw RPCError(
        VMFailure.engineFailed,
        "The host has no user ftvs-guest\(machine.record.slot); run 'systemd-sysusers' or deploy/install again.")
    }
    return user
  }

  private func export(_ volume: VolumeName, to user: UInt32) async throws(RPCError) -> GuestPlan.Export {
    do {
      let export = try await environment.storage.call(
        ExportVolume.self, .init(volume: volume, clientUserID: Int(user)))
      return .init(name: export.exportName, socketPath: export.socketPath)
    } catch {
      throw storageError(error, volume)
    }
  }

  private func storageError(_ error: RPCError, _ volume: VolumeName) -> RPCError {
    RPCError(
      VMFailure.storageUnavailable, "The disk '\(volume)' is not available: \(error.message)",
      data: ["volume": .string(volume.rawValue), "kind": .string(error.kind)])
  }
}
