import RPC
import StorageAPI

extension StorageService {
  /// Answers every method of the storage service.
  public func serve(on router: inout Router) {
    router.serve(ListVolumes.self) { (_, _) throws(RPCError) in try await self.list() }
    router.serve(ShowVolume.self) { (params, _) throws(RPCError) in try await self.show(params.volume) }
    router.serve(CreateVolume.self) { (params, _) throws(RPCError) in try await self.create(params) }
    router.serve(DeleteVolume.self) { (params, _) throws(RPCError) in try await self.delete(params) }
    router.serve(EnableUndo.self) { (params, _) throws(RPCError) in try await self.enableUndo(params) }
    router.serve(CommitUndo.self) { (params, _) throws(RPCError) in try await self.commitUndo(params) }
    router.serve(DiscardUndo.self) { (params, _) throws(RPCError) in try await self.discardUndo(params) }
    router.serve(CreateSnapshot.self) { (params, _) throws(RPCError) in try await self.createSnapshot(params) }
    router.serve(RevertToSnapshot.self) { (params, _) throws(RPCError) in try await self.revertToSnapshot(params) }
    router.serve(DeleteSnapshot.self) { (params, _) throws(RPCError) in try await self.deleteSnapshot(params) }
    router.serve(DeleteCheckpoint.self) { (params, _) throws(RPCError) in try await self.deleteCheckpoint(params) }
    router.serve(FlattenVolume.self) { (params, _) throws(RPCError) in try await self.flatten(params) }
    router.serve(RebaseVolume.self) { (params, _) throws(RPCError) in try await self.rebase(params) }
    router.serve(ResizeVolume.self) { (params, _) throws(RPCError) in try await self.resize(params) }
    router.serve(CheckVolume.self) { (params, _) throws(RPCError) in try await self.check(params) }
    router.serve(ScrubVolume.self) { (params, _) throws(RPCError) in try await self.scrub(params) }
    router.serve(ScrubImage.self) { (params, _) throws(RPCError) in try await self.scrub(params) }
    router.serve(SetWritePolicy.self) { (params, _) throws(RPCError) in try await self.setWritePolicy(params) }
    router.serve(ReadVolume.self) { (params, _) throws(RPCError) in try await self.read(params) }
    router.serve(ProvideVolume.self) { (params, _) throws(RPCError) in try await self.provide(params) }
    router.serve(WriteVolume.self) { (params, _) throws(RPCError) in try await self.write(params) }
    router.serve(ExportVolume.self) { (params, _) throws(RPCError) in try await self.export(params) }
    router.serve(ExportVolumeToCaller.self) { (params, context) throws(RPCError) in
      try await self.exportToCaller(params, context.caller)
    }
    router.serve(ExportImageToCaller.self) { (params, context) throws(RPCError) in
      try await self.exportToCaller(params, context.caller)
    }
    router.serve(FenceVolume.self) { (params, _) throws(RPCError) in try await self.fence(params) }
    router.serve(GetLegs.self) { (_, _) throws(RPCError) in try await self.legStatus() }
    router.serve(ListImages.self) { (_, _) throws(RPCError) in try await self.images() }
    router.serve(PromoteVolume.self) { (params, _) throws(RPCError) in try await self.promote(params) }
    router.serve(CaptureVolume.self) { (params, _) throws(RPCError) in try await self.capture(params) }
    router.serve(VerifyImage.self) { (params, _) throws(RPCError) in try await self.verify(params) }
    router.serve(UpdateImage.self) { (params, _) throws(RPCError) in try await self.updateImage(params) }
    router.serve(ListJobs.self) { (_, _) throws(RPCError) in try await self.listJobs() }
    router.serve(ShowJob.self) { (params, _) throws(RPCError) in try await self.showJob(params.job) }
    router.serve(CancelJob.self) { (params, _) throws(RPCError) in try await self.cancelJob(params.job) }
    router.serve(DeleteImage.self) { (params, _) throws(RPCError) in try await self.deleteImage(params) }
  }
}
