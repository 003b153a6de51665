import AlertAPI
import DomainXML
import Primitives
import RPC
import VMAPI

/// What is done to a guest that runs and leaves it running. Called inside `exclusive`, except for the screenshot.
extension VMMonitor {
  func reset(_ params: ResetVM.Params) async throws(RPCError) -> VMSummary {
    try await once(ResetVM.self, params, .reset, params.name) { machine, instance async throws(EngineError) in
      let ends = (try? machine.domain.get())?.onReboot == .destroy
      try await instance.reset(whereRebootEnds: ends)
    }
  }

  func interrupt(_ params: InterruptVM.Params) async throws(RPCError) -> VMSummary {
    try await once(InterruptVM.self, params, .interrupt, params.name) { _, instance async throws(EngineError) in
      try await instance.interrupt()
    }
  }

  func sendKeys(_ params: SendKeys.Params) async throws(RPCError) -> VMSummary {
    let keys = try keys(params)
    let milliseconds = params.holdMilliseconds ?? 100
    return try await once(SendKeys.self, params, .sendKeys, params.name) { _, instance async throws(EngineError) in
      try await instance.press(keys, holding: milliseconds)
    }
  }

  private func keys(_ params: SendKeys.Params) throws(RPCError) -> [String] {
    guard (1...KeyNames.limit).contains(params.keys.count) else {
      throw RPCError(
        CommonFailure.invalidParams, "\(params.keys.count) keys: give 1 to \(KeyNames.limit).",
        data: ["member": "params.keys"])
    }
    var keys: [String] = []
    for name in params.keys {
      guard let key = KeyNames.canonical(name) else {
        throw RPCError(
          CommonFailure.invalidParams,
          "'\(name.prefix(32))' is no key. Names are those of QEMU, such as ctrl, alt, delete, f1, ret, spc, kp_1, or of "
            + "libvirt, such as KEY_LEFTCTRL.", data: ["member": "params.keys"])
      }
      keys.append(key)
    }
    return keys
  }

  /// Does something that a repeat must not do again: at most once for a key.
  private func once<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, _ operation: LifeTable.Operation, _ name: VMName,
    _ body: (Machine, any VMInstance) async throws(EngineError) -> Void
  ) async throws(RPCError) -> VMSummary where M.Params: KeyedParams, M.Result == VMSummary {
    if let earlier = try await environment.state.answer(for: method, params) { return earlier }
    _ = try admits(operation, name)
    try connected(name)
    let machine = try machine(name)
    let summary = machine.summary
    let answer = try await environment.state.perform(method, params) { _ in summary }
    try await withInstance(name) { instance async throws(EngineError) in try await body(machine, instance) }
    return answer
  }

  func screenshot(_ name: VMName) async throws(RPCError) -> GetScreenshot.Result {
    _ = try admits(.screenshot, name)
    let picture = try await withInstance(name) { instance async throws(EngineError) in
      do throws(EngineError) { return try await instance.screenshot() } catch {
        guard case .refused(let text) = error else { throw error }
        throw .refused("\(text); a picture needs a <video> device in the definition")
      }
    }
    guard let size = PNGSize(picture) else {
      throw RPCError(
        VMFailure.engineFailed, "The engine did not answer with a picture; look at the console instead.",
        data: ["name": .string(name.rawValue)])
    }
    return GetScreenshot.Result(data: Base64.encode(picture[...]), widthPixels: size.width, heightPixels: size.height)
  }

  /// Tells of what a guest did; of one that does it again and again, not each time.
  func report(_ event: EngineEvent, of name: VMName) {
    if let last = machines[name]?.reported[event], ContinuousClock.now - last < timing.reportInterval { return }
    machines[name]?.reported[event] = .now
    switch event {
    case .reset(let byGuest):
      alert(
        .info, "vmReset", name, byGuest ? "'\(name)' restarted its system." : "'\(name)' was reset.",
        ["byGuest": .bool(byGuest)])
    case .panicked: alert(.error, "vmPanicked", name, "The system of '\(name)' crashed; its console may say why.")
    case .watchdog(let action):
      alert(
        .error, "vmWatchdog", name,
        "The watchdog of '\(name)' was not served in time: its system hangs. What follows: \(action).",
        ["action": .string(action)])
    case .askedToShutDown: alert(.info, "vmAskedToShutDown", name, "The power button of '\(name)' was pressed.")
    case .resumed, .paused, .shutDown, .ended: break
    }
  }
}

/// The size of a PNG picture (RFC 2083, sections 3.1 and 4.1.1).
struct PNGSize: Equatable {
  var width: Int
  var height: Int

  private static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  /// Nil for what is no PNG.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 24, Array(bytes[0..<8]) == Self.signature, Array(bytes[12..<16]) == Array("IHDR".utf8) else {
      return nil
    }
    width = bytes[16..<20].reduce(0) { $0 << 8 | Int($1) }
    height = bytes[20..<24].reduce(0) { $0 << 8 | Int($1) }
  }
}
