import DaemonKit
import NBD
import Primitives
import RPC
import StorageCore

/// Puts storage together, for this host or for a rehearsal.
enum StorageDaemon {
  static func activate(_ activation: Activation, _ hook: ResyncHook) async throws -> ActiveService {
    let service = try await StorageService.open(state: activation.state, environment: environment(activation))
    hook.attach(service)
    let server = NBDServer(
      listener: activation.listeners["nbd"] ?? -1, exports: ExportProvider(service), logger: activation.logger)
    service.attach(server)
    guard server.start() else {
      throw RPCError(CommonFailure.internalError, "The NBD server has no thread to accept with; free memory.")
    }
    return ActiveService(
      router: router(service), tasks: [{ try await service.run() }], metrics: { await service.metrics() },
      drain: { await service.drain() })
  }

  static func rehearse(_ activation: Activation) async throws -> RehearsedService {
    let service = try await StorageService.open(state: activation.state, environment: environment(activation))
    return RehearsedService(
      router: router(service),
      calls: [
        ("volume.create", ["volume": "rehearsal", "sizeBytes": 1_048_576]), ("volume.list", [:]),
        ("volume.delete", ["volume": "rehearsal"]),
      ], end: { await service.drain() })
  }

  private static func router(_ service: StorageService) -> Router {
    var router = Router(title: "ftvs-storage", version: Daemon.version)
    service.serve(on: &router)
    return router
  }

  private static func environment(_ activation: Activation) -> StorageEnvironment {
    let paths = activation.paths
    var environment = StorageEnvironment(
      legDirectories: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.state(.storage, on: $0)) }),
      shotMarks: Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, paths.shotMark($0.module)) }),
      metadataLogs: paths.metadataLogs, nbdSocketPath: paths.nbdSocket,
      legAnswerBound: activation.configuration.legAnswerBound,
      publish: { severity, kind, subject, message, data in
        activation.alerts.publish(severity, kind: kind, subject: subject, message: message, data: data)
      }, logger: activation.logger)
    for leg in LegID.allCases {
      environment.secondDirectories[leg] = paths.secondState(.storage, on: leg)
      environment.pathMarks[leg] = [paths.pathMark(leg, 0), paths.pathMark(leg, 1)]
    }
    return environment
  }
}
