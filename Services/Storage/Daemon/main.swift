import DaemonKit
import HostConfiguration
import NBD
import Primitives
import RPC
import StorageCore

let hook = ResyncHook()
let description = DaemonDescription(
  service: .storage, migrations: StorageSchema.migrations, otherListeners: ["nbd"],
  resyncData: { leg, progress in try await hook.resync(to: leg, progress: progress) })

await Daemon.main(description) { activation in
  let paths = activation.paths
  let environment = StorageEnvironment(
    legDirectories: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.state(.storage, on: $0)) }),
    shotMarks: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.shotMark($0.module)) }),
    nbdSocketPath: paths.nbdSocket,
    publish: { severity, kind, subject, message, data in
      activation.alerts.publish(severity, kind: kind, subject: subject, message: message, data: data)
    }, logger: activation.logger)
  let service = try await StorageService.open(state: activation.state, environment: environment)
  hook.attach(service)
  let server = NBDServer(
    listener: activation.listeners["nbd"] ?? -1, exports: ExportProvider(service), logger: activation.logger)
  service.attach(server)
  guard server.start() else {
    throw RPCError(CommonFailure.internalError, "The NBD server has no thread to accept with; free memory.")
  }
  var router = Router(title: "ftvs-storage", version: Daemon.version)
  service.serve(on: &router)
  return ActiveService(
    router: router, tasks: [{ try await service.run() }], metrics: { await service.metrics() },
    drain: { await service.drain() })
}
