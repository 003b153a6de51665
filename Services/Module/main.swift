import DaemonKit
import HostConfiguration
import Logging

let process = Daemon.startProcess()
let agent = ModuleAgent(
  module: process.module, socket: process.paths.socket(.hardware), notifier: process.notifier,
  logger: Logger(label: "ftvs-module"))
let signals = EndSignals(notifier: process.notifier, agent: agent)
await agent.run()
