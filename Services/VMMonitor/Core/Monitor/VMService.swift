import Primitives
import RPC
import ServiceAPI
import VMAPI

/// The methods of the VM monitor.
public enum VMService {
  /// Largest number of bytes typed in one call.
  static let typedBytes = 4096

  public static func router(_ monitor: VMMonitor, version: String) -> Router {
    var router = Router(title: "FTVS VM monitor", version: version)
    serveDefinitions(monitor, &router)
    serveLife(monitor, &router)
    serveSignals(monitor, &router)
    serveSaving(monitor, &router)
    serveConsoles(monitor, &router)
    serveAgents(monitor, &router)
    return router
  }

  private static func serveDefinitions(_ monitor: VMMonitor, _ router: inout Router) {
    router.serve(DefineVM.self) { params, _ async throws(RPCError) in try await monitor.define(params) }
    router.serve(UndefineVM.self) { params, _ async throws(RPCError) in
      let undefined = try await monitor.exclusive(params.name) { monitor async throws(RPCError) in
        try await monitor.undefine(params.name)
      }
      return UndefineVM.Result(undefined: undefined)
    }
    router.serve(SetVMAutostart.self) { params, _ async throws(RPCError) in
      try await monitor.exclusive(params.name) { monitor async throws(RPCError) in
        try await monitor.setAutostart(params.name, params.autostart)
      }
    }
    router.serve(ListVMs.self) { _, _ async throws(RPCError) in ListVMs.Result(vms: await monitor.list()) }
    router.serve(ShowVM.self) { params, _ async throws(RPCError) in
      try await monitor.show(params.name, version: params.version)
    }
    router.serve(ListVMVersions.self) { params, _ async throws(RPCError) in try await monitor.versions(of: params.name)
    }
    router.serve(ReloadVM.self) { params, _ async throws(RPCError) in
      try await monitor.exclusive(params.name) { monitor async throws(RPCError) in
        try await monitor.reload(params.name)
      }
    }
    router.serve(GetVMAvailability.self) { params, _ async throws(RPCError) in
      GetVMAvailability.Result(vms: try await monitor.availability(params.name))
    }
    router.serve(GetVMStatistics.self) { params, _ async throws(RPCError) in try await monitor.statistics(params) }
    router.serve(FollowVMs.self) { _, _ async throws(RPCError) in await monitor.follow() }
  }

  private static func serveLife(_ monitor: VMMonitor, _ router: inout Router) {
    router.serve(StartVM.self) { params, _ async throws(RPCError) in
      let summary = try await monitor.exclusive(params.name) { monitor async throws(RPCError) in
        try await monitor.start(params.name, on: params.module, discardsSaved: params.discardSaved ?? false)
      }
      return try await monitor.running(params.name, summary)
    }
    router.serve(ShutDownVM.self) { params, _ async throws(RPCError) in
      try await monitor.exclusive(params.name) { monitor async throws(RPCError) in
        try await monitor.shutDown(params.name, within: params.timeoutSeconds ?? 60)
      }
    }
    router.serve(KillVM.self) { params, _ async throws(RPCError) in try await monitor.kill(params.name) }
    router.serve(PauseVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in
        try await monitor.pause(params.name)
      }
    }
    router.serve(ResumeVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in
        try await monitor.letGoOn(params.name)
      }
    }
  }

  private static func serveSaving(_ monitor: VMMonitor, _ router: inout Router) {
    router.serve(SaveVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in try await monitor.save(params.name)
      }
    }
    router.serve(DiscardSavedVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in
        try await monitor.discardSaved(params.name)
      }
    }
    router.serve(DecideUndo.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in
        try await monitor.decideUndo(params)
      }
    }
    router.serve(ReleaseVM.self) { params, _ async throws(RPCError) in
      try await monitor.exclusive(params.name) { monitor async throws(RPCError) in
        try await monitor.release(params.name)
      }
    }
  }

  private static func serveSignals(_ monitor: VMMonitor, _ router: inout Router) {
    router.serve(ResetVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in try await monitor.reset(params) }
    }
    router.serve(InterruptVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in try await monitor.interrupt(params)
      }
    }
    router.serve(SendKeys.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in try await monitor.sendKeys(params)
      }
    }
    router.serve(GetScreenshot.self) { params, _ async throws(RPCError) in try await monitor.screenshot(params.name) }
  }

  private static func serveAgents(_ monitor: VMMonitor, _ router: inout Router) {
    router.serve(GetGuestInfo.self) { params, _ async throws(RPCError) in try await monitor.guestInfo(params.name) }
    router.serve(FreezeVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in try await monitor.freeze(params) }
    }
    router.serve(ThawVM.self) { params, _ async throws(RPCError) in
      try await monitor.operate(on: params.name) { monitor async throws(RPCError) in try await monitor.thaw(params.name)
      }
    }
  }

  private static func serveConsoles(_ monitor: VMMonitor, _ router: inout Router) {
    router.serve(OpenConsole.self) { params, _ async throws(RPCError) in
      _ = try await monitor.machine(params.name)
      return monitor.consoles.follow(params.name, historyBytes: params.historyBytes ?? 4096)
    }
    router.serve(WriteConsole.self) { params, _ async throws(RPCError) in try await monitor.type(params) }
  }
}

extension VMMonitor {
  func list() -> [VMSummary] { machines.values.map(\.summary).sorted { $0.name < $1.name } }

  func availability(_ name: VMName?) async throws(RPCError) -> [VMAvailability] {
    if let name { _ = try machine(name) }
    var answer: [VMAvailability] = []
    for name in name.map({ [$0] }) ?? machines.keys.sorted() {
      if let one = try await store.availability(of: name, at: now()) { answer.append(one) }
    }
    return answer
  }

  /// Types into a console: at most once for a key, for what was typed twice cannot be taken back.
  func type(_ params: WriteConsole.Params) async throws(RPCError) -> WriteConsole.Result {
    _ = try machine(params.name)
    guard let bytes = Base64.decode(params.data), bytes.count <= VMService.typedBytes else {
      throw RPCError(
        CommonFailure.invalidParams, "The data is not base64 of at most \(VMService.typedBytes) bytes.")
    }
    if let earlier = try await environment.state.answer(for: WriteConsole.self, params) { return earlier }
    guard await consoles.isConnected(params.name) else { throw notConnected(params.name) }
    let result = try await environment.state.perform(WriteConsole.self, params) { _ in
      WriteConsole.Result(writtenBytes: bytes.count)
    }
    guard await consoles.type(bytes, into: params.name) else { throw notConnected(params.name) }
    return result
  }

  private func notConnected(_ name: VMName) -> RPCError {
    RPCError(
      VMFailure.wrongState,
      "The console of '\(name)' takes nothing now: it does not run, or its definition has no <serial type='pty'/>.",
      data: ["name": .string(name.rawValue)])
  }

  /// Measured values of the service.
  public func metrics() -> [Metric] {
    let states = Dictionary(grouping: machines.values, by: \.state).mapValues(\.count)
    return states.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      Metric(
        name: "virtualMachines", summary: "Virtual machines in a state.", value: Double($0.value),
        labels: ["state": $0.key.rawValue])
    } + [
      Metric(
        name: "failovers", summary: "Restarts after failures, of all virtual machines.",
        value: Double(machines.values.reduce(0) { $0 + $1.record.failovers }), labels: [:]),
      Metric(
        name: "waitingStarts", summary: "Virtual machines that wait for their turn to be started.",
        value: Double(starts.waiting.count), labels: [:]),
    ]
  }
}
