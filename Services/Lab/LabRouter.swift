import Glibc
import LabAPI
import RPC

extension LabSupervisor {
  /// The lab's API.
  ///
  /// - Parameter ended: Called when all units are down, before `lab.end` is answered.
  nonisolated func router(ended: @escaping @Sendable () -> Void) -> Router {
    var router = Router(title: "lab", version: "1")
    router.serve(ListLabUnits.self) { _, _ in
      LabStatus(directory: self.paths.directory, processID: Int(getpid()), units: await self.list())
    }
    router.serve(ShowLabUnit.self) { params, _ throws(RPCError) in try await self.show(params.unit) }
    router.serve(StartLabUnit.self) { params, _ throws(RPCError) in try await self.start(params.unit) }
    router.serve(StopLabUnit.self) { params, _ throws(RPCError) in try await self.stop(params.unit) }
    router.serve(KillLabUnit.self) { params, _ throws(RPCError) in
      try await self.kill(params.unit, signal: Int32(clamping: params.signal))
      return Nothing()
    }
    router.serve(FollowLabUnits.self) { _, _ in
      let changes = await self.follow()
      return AsyncThrowingStream { continuation in
        let pump = Task {
          for await unit in changes { continuation.yield(unit) }
          continuation.finish()
        }
        continuation.onTermination = { _ in pump.cancel() }
      }
    }
    router.serve(EndLab.self) { _, _ in
      await self.end()
      ended()
      return Nothing()
    }
    return router
  }
}
