import Primitives
import RPC
import VMAPI

/// What guests use, kept for half an hour.
extension VMMonitor {
  /// Samples of one guest that are kept.
  static let keptSamples = 360

  /// Takes samples until cancelled.
  func takeSamples() async throws {
    while !Task.isCancelled {
      try await Task.sleep(for: timing.sampleInterval)
      await takeSample()
    }
  }

  /// A sample of each guest that runs. One that does not answer misses this one.
  func takeSample() async {
    let patience = timing.sampleInterval / 2
    await withTaskGroup(of: Void.self) { group in
      for (name, machine) in machines where machine.instance != nil {
        group.addTask { _ = await within(patience) { [weak self] in await self?.sample(name) } }
      }
    }
  }

  private func sample(_ name: VMName) async {
    guard let machine = machines[name], let instance = machine.instance, let module = machine.record.module,
      let unit = machine.unit, let statistics = try? await instance.statistics()
    else { return }
    let usage = await environment.usage(unit, module, machine.processID)
    guard machines[name]?.instance === instance else { return }
    let disks = ((try? machine.domain.get())?.disks ?? []).map { disk in
      VMDiskCounters(disk.target, disk.volume, statistics.disks[disk.target] ?? .init())
    }
    machines[name]?.samples.append(
      VMSample(
        timeMilliseconds: now(), processID: machine.processID, module: module, cpuMilliseconds: usage.cpuMilliseconds,
        memoryBytes: usage.memoryBytes, balloonBytes: statistics.balloonBytes, disks: disks))
    let surplus = (machines[name]?.samples.count ?? 0) - Self.keptSamples
    if surplus > 0 { machines[name]?.samples.removeFirst(surplus) }
  }

  func statistics(_ params: GetVMStatistics.Params) throws(RPCError) -> GetVMStatistics.Result {
    if let name = params.name { _ = try machine(name) }
    let names = params.name.map { [$0] } ?? machines.keys.sorted()
    let count = params.samples ?? 2
    return GetVMStatistics.Result(
      intervalMilliseconds: Int(timing.sampleInterval.milliseconds),
      vms: names.compactMap { machines[$0] }.map {
        VMStatistics(name: $0.name, state: $0.state, samples: $0.samples.suffix(count))
      })
  }
}

extension VMDiskCounters {
  fileprivate init(_ target: String, _ volume: VolumeName?, _ disk: EngineStatistics.Disk) {
    self.init(
      target: target, volume: volume, readBytes: disk.readBytes, writtenBytes: disk.writtenBytes,
      readOperations: disk.readOperations, writeOperations: disk.writeOperations,
      flushOperations: disk.flushOperations, failedOperations: disk.failedOperations)
  }
}
