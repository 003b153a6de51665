import Primitives
import RPC

/// A guest that goes from one QEMU process to another while it runs: QEMU's migration over a pair of connected sockets, an
/// end of which each process is passed. Nothing of the stream goes through the monitor, whose death does not end it.
/// Whoever made the pair closes its own copies once both ends are under way: a process that dies is noticed by that alone.
///
/// When both ends have returned, the source stands still and has let go of its disks, and the destination stands still
/// and has not opened them for writing. Whoever moves a guest ends the source, proves it gone, and only then resumes the
/// destination. Where either end throws, the source runs on, or stands still if it did before; the destination is to be
/// ended.
extension QEMUInstance {
  /// What a move cost, by the source's account.
  struct Move: Sendable, Equatable {
    /// How long the guest stood still until its state was sent.
    var downtimeMilliseconds: Int64
    /// Size of the stream.
    var bytes: Int64
  }

  /// Between looks at whether a move is complete: the guest stands still until it was seen.
  private static let longestPause = Duration.milliseconds(2)

  /// Whether the guest's memory is a file that another process can map. Asked of the process, for that may be older than
  /// what its definition leads to now.
  func sharesMemory() async throws(EngineError) -> Bool {
    let backends = try await value("query-memdev").array ?? []
    return backends.contains { $0["id"] == .string(QEMUArguments.memoryName) && $0["share"] == true }
  }

  /// Sends the guest to the process at the other end.
  ///
  /// - Parameter sharingMemory: both map one file, so that no memory is sent. False copies it. It is to be the same at
  ///   both ends.
  func depart(over descriptor: Int32, sharingMemory: Bool) async throws(EngineError) -> Move {
    try await set("x-ignore-shared", sharingMemory)
    try await transfer("migrate", over: descriptor, longestPause: Self.longestPause)
    let answer = try await value("query-migrate")
    return Move(
      downtimeMilliseconds: answer["downtime"]?.integer ?? 0, bytes: answer["ram"]?["transferred"]?.integer ?? 0)
  }

  /// Takes the guest from the process at the other end.
  func arrive(over descriptor: Int32, sharingMemory: Bool) async throws(EngineError) {
    try await set("x-ignore-shared", sharingMemory)
    // Without it QEMU opens the disks for writing when the stream ends, with the source's process still there.
    try await set("late-block-activate", true)
    try await transfer("migrate-incoming", over: descriptor, longestPause: Self.longestPause)
  }

  /// Ends a move that is under way; the source goes on when this returns. None is no error.
  func cancelMove() async throws(EngineError) { try await cancelSave() }
}
