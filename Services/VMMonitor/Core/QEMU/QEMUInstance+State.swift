import Primitives
import RPC

/// A guest's memory and devices as a stream: QEMU's migration, to and from a descriptor that is passed to it. (It may start
/// no program and opens no file of ours.)
extension QEMUInstance {
  /// Name under which QEMU keeps the descriptor until the next command takes it.
  private static let descriptorName = "state"
  /// Without a bound, for nobody else waits for the processors' time meanwhile: in bytes a second.
  private static let bandwidth: Int64 = 64 << 30

  func save(to descriptor: Int32) async throws(EngineError) {
    // A move that failed may have left it on: the file would be without the guest's memory.
    try await set("x-ignore-shared", false)
    try await transfer("migrate", over: descriptor)
  }

  /// Turns one of QEMU's ways of migration on or off.
  func set(_ capability: String, _ isOn: Bool) async throws(EngineError) {
    try await execute(
      "migrate-set-capabilities", ["capabilities": [["capability": .string(capability), "state": .bool(isOn)]]])
  }

  /// Sends or takes a stream; returns when it is complete.
  ///
  /// - Parameter longestPause: between looks at whether it is.
  func transfer(
    _ command: String, over descriptor: Int32, longestPause: Duration = .milliseconds(50)
  ) async throws(EngineError) {
    if command == "migrate" {
      try await execute("migrate-set-parameters", ["max-bandwidth": .integer(Self.bandwidth)])
    }
    _ = try await value("getfd", ["fdname": .string(Self.descriptorName)], passing: descriptor)
    do { try await execute(command, ["uri": .string("fd:\(Self.descriptorName)")]) } catch {
      // It was not taken: whoever waits at its other end is to hear of that.
      try? await execute("closefd", ["fdname": .string(Self.descriptorName)])
      throw error
    }
    try await untilMigrated(longestPause: longestPause)
  }

  func cancelSave() async throws(EngineError) {
    try await execute("migrate_cancel")
    // However it ended: it may be resumed then.
    do { try await untilMigrated(mayBeNone: true) } catch {
      guard case .refused = error else { throw error }
    }
  }

  func load(from descriptor: Int32) async throws(EngineError) {
    try await transfer("migrate-incoming", over: descriptor)
  }

  /// Returns when the stream is complete. QEMU tells of that by events to those who knew beforehand; a monitor may come
  /// at any time, so it is asked.
  ///
  /// - Parameter mayBeNone: returns also when none was begun. Else that is one that QEMU has not begun yet.
  private func untilMigrated(
    mayBeNone: Bool = false, longestPause: Duration = .milliseconds(50)
  ) async throws(EngineError) {
    var pause = Duration.milliseconds(2)
    while true {
      let answer = try await value("query-migrate")
      switch answer["status"]?.string {
      case "completed": return
      case nil: if mayBeNone { return }
      case "failed", "cancelled":
        throw .refused(answer["error-desc"]?.string ?? "the stream of its memory ended early")
      default: break
      }
      do { try await Task.sleep(for: pause) } catch { throw .notAnswering("the wait for its memory was cancelled") }
      pause = min(pause * 2, longestPause)
    }
  }
}
