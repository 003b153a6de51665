import HardwareAPI
import Primitives
import RPC

extension HardwareSupervisor {
  /// The supervisor's methods.
  public nonisolated func router(version: String) -> Router {
    var router = Router(title: "FTVS hardware supervisor", version: version)
    serveQueries(&router)
    serveCommands(&router)
    router.serve(AttachModuleAgent.self) { params, _ throws(RPCError) in try await self.attach(params) }
    router.note(SendHeartbeat.self) { params in self.note(params) }
    router.serve(SendHeartbeat.self) { params, _ throws(RPCError) in
      await self.heartbeat(params)
      return Nothing()
    }
    return router
  }

  private nonisolated func serveQueries(_ router: inout Router) {
    router.serve(GetModules.self) { _, _ throws(RPCError) in await self.modules() }
    router.serve(FollowModules.self) { _, _ throws(RPCError) in try await self.follow() }
    router.serve(GetServices.self) { _, _ throws(RPCError) in
      GetServices.Result(services: await self.services())
    }
    router.serve(PlaceOnModule.self) { params, _ throws(RPCError) in
      PlaceOnModule.Result(module: try await self.place(prefer: params.prefer, exclude: params.exclude ?? []))
    }
  }

  private nonisolated func serveCommands(_ router: inout Router) {
    router.serve(TakeModuleOffline.self) { params, _ throws(RPCError) in
      try await self.command(.offline, params.module)
    }
    router.serve(BringModuleOnline.self) { params, _ throws(RPCError) in
      try await self.command(.online, params.module)
    }
    router.serve(FailModule.self) { params, _ throws(RPCError) in
      try await self.command(.fail, params.module, reason: params.reason, force: params.force ?? false)
    }
    router.serve(FailPath.self) { params, _ throws(RPCError) in try await self.failPath(params) }
    router.serve(RestorePath.self) { params, _ throws(RPCError) in try await self.restorePath(params) }
    router.serve(RemoveModule.self) { params, _ throws(RPCError) in
      try await self.command(.remove, params.module)
    }
    router.serve(InsertModule.self) { params, _ throws(RPCError) in
      try await self.command(.insert, params.module)
    }
  }
}
