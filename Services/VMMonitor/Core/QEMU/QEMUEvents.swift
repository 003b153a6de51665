import RPC

extension EngineError {
  init(_ failure: QMPClient.Failure) {
    switch failure {
    case .disconnected(let text): self = .notAnswering(text)
    case .timedOut(let command): self = .notAnswering("no answer to '\(command)' in time")
    case .refused(let text): self = .refused(text)
    }
  }
}

extension EngineEvent {
  /// The meaning of one of QEMU's events, or nil when it has none here.
  init?(_ event: QMPClient.Event) {
    switch event.name {
    case "RESUME": self = .resumed
    case "RESET": self = .reset(byGuest: event.data["guest"] == .bool(true))
    case "GUEST_PANICKED", "GUEST_CRASHLOADED": self = .panicked
    case "WATCHDOG": self = .watchdog(event.data["action"]?.string ?? "unknown")
    case "POWERDOWN": self = .askedToShutDown
    case "STOP": self = .paused(reason: "stopped by the engine")
    case "BLOCK_IO_ERROR":
      let device = event.data["device"]?.string ?? ""
      let node = event.data["node-name"]?.string ?? device
      self = .paused(reason: "an I/O error on \(node.isEmpty ? "a disk" : node): \(event.data["reason"]?.string ?? "")")
    case "SHUTDOWN":
      let reason = event.data["reason"]?.string ?? "unknown"
      self = reason == "guest-shutdown" || reason == "guest-reset" ? .shutDown : .ended(reason)
    default: return nil
    }
  }
}
