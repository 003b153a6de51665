import HardwareAPI
import Primitives
import RPC
import StorageAPI

/// The hardware supervisor and storage, as far as the monitor uses them.
extension FakeHost {
  func hardware(_ life: Life) -> any RPCCaller {
    var router = Router(title: "hardware", version: "1")
    router.serve(PlaceOnModule.self) { params, _ async throws(RPCError) in
      await life.enter("place")
      let (away, lost) = self.state.withLock { ($0.isHardwareAway, $0.lost) }
      if away { await Life.hang() }
      let candidates = ([params.prefer].compactMap(\.self) + [.cpu0, .cpu1]).filter { !lost.contains($0) }
      guard let module = candidates.first else {
        throw RPCError(HardwareFailure.noModuleInService, "none")
      }
      return PlaceOnModule.Result(module: module)
    }
    router.serve(GetModules.self) { _, _ async throws(RPCError) in
      ModuleList(modules: ModuleID.allCases.map(self.status), pairs: [])
    }
    router.serve(FollowModules.self) { _, _ async throws(RPCError) in
      let (stream, continuation) = AsyncThrowingStream<ModuleStatus, any Error>.makeStream()
      for module in ModuleID.allCases { continuation.yield(self.status(of: module)) }
      self.state.withLock { $0.moduleFollowers.append(continuation) }
      return stream
    }
    return RouterCaller(router, as: .root)
  }

  func storage(_ life: Life) -> any RPCCaller {
    var router = Router(title: "storage", version: "1")
    router.serve(ExportVolume.self) { params, _ async throws(RPCError) in
      try await self.enterStorage(life, "export", params.volume)
      let generation = self.state.withLock { $0.generations[params.volume.rawValue, default: 1] }
      return ExportStatus(
        volume: params.volume, exportName: "\(params.volume).\(generation)", socketPath: "/nbd", sizeBytes: 1 << 20,
        generation: generation)
    }
    router.serve(ProvideVolume.self) { params, _ async throws(RPCError) in
      try await self.enterStorage(life, params.data == nil ? "isProvided" : "provide", params.volume)
      return .init(
        provided: self.state.withLock { state in
          if params.data != nil { state.provided.insert(params.volume.rawValue) }
          return state.provided.contains(params.volume.rawValue)
        })
    }
    router.serve(FenceVolume.self) { params, _ async throws(RPCError) in
      try await self.enterStorage(life, "fence", params.volume)
      let generation = self.state.withLock { state in
        state.generations[params.volume.rawValue, default: 1] += 1
        let fenced = state.processes.values.filter { $0.generations[params.volume.rawValue] != nil }
        for process in fenced where process.status == .running {
          state.violations.append("fenced under a running guest: \(process.unit)")
        }
        return state.generations[params.volume.rawValue, default: 1]
      }
      return self.volume(params.volume, generation)
    }
    router.serve(ShowVolume.self) { params, _ async throws(RPCError) in
      try await self.enterStorage(life, "show", params.volume)
      return self.volume(params.volume, self.state.withLock { $0.generations[params.volume.rawValue, default: 1] })
    }
    router.serve(CommitUndo.self) { params, _ async throws(RPCError) in
      try await self.endUndo(life, "commit", params.volume)
    }
    router.serve(DiscardUndo.self) { params, _ async throws(RPCError) in
      try await self.endUndo(life, "discard", params.volume)
    }
    return RouterCaller(router, as: .root)
  }

  private func endUndo(_ life: Life, _ word: String, _ volume: VolumeName) async throws(RPCError) -> VolumeStatus {
    try await enterStorage(life, word, volume)
    let generation = state.withLock { state in
      if state.processes.values.contains(where: { $0.generations[volume.rawValue] != nil }) {
        state.violations.append("\(word) under a guest: \(volume)")
      }
      state.undone.append("\(word) \(volume)")
      return state.generations[volume.rawValue, default: 1]
    }
    return self.volume(volume, generation)
  }

  private func volume(_ name: VolumeName, _ generation: Int64) -> VolumeStatus {
    let openings = state.withLock { $0.openings[name.rawValue, default: 0] }
    let layer = LayerStatus(layer: "top", role: .base, allocatedBytes: 0)
    return VolumeStatus(
      volume: name, sizeBytes: 1 << 20, layers: [layer],
      hasUndoLayer: state.withLock { $0.undoLayers.contains(name.rawValue) }, generation: generation,
      openings: openings, sessions: 0, legs: [])
  }

  private func enterStorage(_ life: Life, _ call: String, _ volume: VolumeName) async throws(RPCError) {
    await life.enter("\(call) \(volume)")
    guard volume.rawValue != "missing" else {
      throw RPCError(StorageFailure.noSuchVolume, "There is no volume 'missing'.")
    }
    while state.withLock({ $0.isStorageHanging }) {
      // Whoever called may give up.
      do { try await Task.sleep(for: .milliseconds(1)) } catch { throw RPCError(CommonFailure.timedOut, "hangs") }
    }
    if state.withLock({ $0.isStorageAway }) { throw RPCError(CommonFailure.connectionLost, "away") }
  }
}
