import DaemonKit
import StorageCore

let hook = ResyncHook()
let description = DaemonDescription(
  service: .storage, migrations: StorageSchema.migrations, otherListeners: ["nbd"],
  resyncData: { leg, progress in try await hook.resync(to: leg, progress: progress) },
  rehearse: StorageDaemon.rehearse)

await Daemon.main(description) { activation in try await StorageDaemon.activate(activation, hook) }
