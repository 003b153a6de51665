import FTVSClient
import LabAPI

/// Every method of every service, as the golden files list them. A test finds declarations that are missing here.
enum Contract {
  struct Service {
    let name: String
    /// First code of the service's own failures; a range is a thousand.
    let firstCode: Int
    let methods: [MethodDescription]

    var document: JSONValue {
      OpenRPC.document(
        title: name, version: "1",
        methods: (methods + [MethodDescription(Discover.self), MethodDescription(Unsubscribe.self)])
          .sorted { $0.name < $1.name })
    }
  }

  private static let everyService = [
    MethodDescription(CheckLegs.self), MethodDescription(ForceLeg.self), MethodDescription(GetServiceMetrics.self),
    MethodDescription(GetServiceStatus.self),
    MethodDescription(ServicePing.self),
  ]

  static let services = [
    Service(
      name: "ftvs-hardware", firstCode: 1_000,
      methods: everyService + [
        MethodDescription(subscription: AttachModuleAgent.self), MethodDescription(BringModuleOnline.self),
        MethodDescription(FailModule.self), MethodDescription(FailPath.self), MethodDescription(RestorePath.self),
        MethodDescription(subscription: FollowModules.self),
        MethodDescription(GetModules.self), MethodDescription(GetServices.self), MethodDescription(InsertModule.self),
        MethodDescription(PlaceOnModule.self), MethodDescription(RemoveModule.self),
        MethodDescription(SendHeartbeat.self), MethodDescription(TakeModuleOffline.self),
      ]),
    Service(
      name: "ftvs-vm", firstCode: 2_000,
      methods: everyService + [
        MethodDescription(DecideUndo.self), MethodDescription(DefineVM.self), MethodDescription(DiscardSavedVM.self),
        MethodDescription(FreezeVM.self),
        MethodDescription(subscription: FollowVMs.self),
        MethodDescription(GetGuestInfo.self), MethodDescription(GetScreenshot.self),
        MethodDescription(GetVMAvailability.self),
        MethodDescription(GetVMStatistics.self),
        MethodDescription(InterruptVM.self), MethodDescription(KillVM.self), MethodDescription(ListVMs.self),
        MethodDescription(ListVMVersions.self),
        MethodDescription(subscription: OpenConsole.self), MethodDescription(PauseVM.self),
        MethodDescription(ReleaseVM.self), MethodDescription(ReloadVM.self), MethodDescription(ResetVM.self),
        MethodDescription(ResumeVM.self),
        MethodDescription(SaveVM.self), MethodDescription(SendKeys.self),
        MethodDescription(SetVMAutostart.self),
        MethodDescription(ShowVM.self), MethodDescription(ShutDownVM.self), MethodDescription(StartVM.self),
        MethodDescription(ThawVM.self), MethodDescription(UndefineVM.self), MethodDescription(WriteConsole.self),
      ]),
    Service(
      name: "ftvs-storage", firstCode: 3_000,
      methods: everyService + [
        MethodDescription(CancelJob.self), MethodDescription(CaptureVolume.self), MethodDescription(CheckVolume.self),
        MethodDescription(CommitUndo.self),
        MethodDescription(CreateSnapshot.self), MethodDescription(CreateVolume.self),
        MethodDescription(DeleteImage.self), MethodDescription(DeleteCheckpoint.self),
        MethodDescription(DeleteSnapshot.self),
        MethodDescription(FlattenVolume.self), MethodDescription(ListJobs.self), MethodDescription(RebaseVolume.self),
        MethodDescription(ResizeVolume.self), MethodDescription(RevertToSnapshot.self), MethodDescription(ShowJob.self),
        MethodDescription(UpdateImage.self),
        MethodDescription(DeleteVolume.self), MethodDescription(DiscardUndo.self), MethodDescription(EnableUndo.self),
        MethodDescription(ExportImageToCaller.self),
        MethodDescription(ExportVolume.self), MethodDescription(ExportVolumeToCaller.self),
        MethodDescription(FenceVolume.self), MethodDescription(GetLegs.self),
        MethodDescription(ListImages.self), MethodDescription(ListVolumes.self), MethodDescription(PromoteVolume.self),
        MethodDescription(ProvideVolume.self),
        MethodDescription(ReadVolume.self), MethodDescription(ScrubImage.self), MethodDescription(ScrubVolume.self),
        MethodDescription(SetWritePolicy.self),
        MethodDescription(ShowVolume.self), MethodDescription(VerifyImage.self),
        MethodDescription(WriteVolume.self),
      ]),
    Service(
      name: "ftvs-alerts", firstCode: 4_000,
      methods: everyService + [
        MethodDescription(AcknowledgeAlerts.self), MethodDescription(AppendAlerts.self),
        MethodDescription(subscription: FollowAlerts.self), MethodDescription(ListAlerts.self),
      ]),
    Service(
      name: "ftvs-lab", firstCode: 5_000,
      methods: [
        MethodDescription(EndLab.self), MethodDescription(subscription: FollowLabUnits.self),
        MethodDescription(KillLabUnit.self), MethodDescription(ListLabUnits.self), MethodDescription(ShowLabUnit.self),
        MethodDescription(StartLabUnit.self), MethodDescription(StopLabUnit.self),
      ]),
  ]
}
