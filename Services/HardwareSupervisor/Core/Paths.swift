import Dispatch
import Glibc
import HardwareAPI
import Primitives
import RPC

/// The marks that cut paths to legs while they exist. Whoever uses a leg looks for them; the reason is what they hold.
public protocol PathMarks: Sendable {
  func write(_ leg: LegID, _ path: Int, reason: String) async throws(RPCError)
  func remove(_ leg: LegID, _ path: Int) async throws(RPCError)
  func exists(_ leg: LegID, _ path: Int) async -> Bool
}

/// Marks as files. All file work runs on a queue of its own.
public final class FilePathMarks: PathMarks {
  private let path: @Sendable (LegID, Int) -> String
  private let queue = DispatchQueue(label: "ftvs.pathMarks")

  /// - Parameter path: file of a path's mark; its directory is made when it is missing.
  public init(path: @escaping @Sendable (LegID, Int) -> String) { self.path = path }

  public func write(_ leg: LegID, _ path: Int, reason: String) async throws(RPCError) {
    try await MarkFile.perform(self.path(leg, path), on: queue) { MarkFile.write($0, reason) }
  }

  public func remove(_ leg: LegID, _ path: Int) async throws(RPCError) {
    try await MarkFile.perform(self.path(leg, path), on: queue) { MarkFile.remove($0) }
  }

  public func exists(_ leg: LegID, _ path: Int) async -> Bool {
    let mark = self.path(leg, path)
    return await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: access(mark, F_OK) == 0) }
    }
  }
}

/// The paths to legs, as far as their loss is injected. The marks are all that is known of it: they are gone with the run
/// directory, when the host starts anew.
extension HardwareSupervisor {
  /// Cuts a path to a leg.
  ///
  /// - Throws: `lastInService` where the other path is cut, unless it is forced.
  func failPath(_ params: FailPath.Params) async throws(RPCError) -> PathStatus {
    let other = 1 - params.path
    if params.force != true, await around.paths.exists(params.leg, other) {
      throw RPCError(
        HardwareFailure.lastInService,
        """
        Path \(other) to leg \(params.leg) is cut already, so that the leg would be lost with path \(params.path); restore \
        that one first, or say force.
        """, data: ["leg": .string(params.leg.rawValue), "path": .integer(Int64(params.path))])
    }
    let given = params.reason.map { $0.split(whereSeparator: \.isNewline).joined(separator: " ").prefix(400) }
    let reason = given.flatMap { $0.isEmpty ? nil : String($0) } ?? "its loss was injected"
    try await around.paths.write(params.leg, params.path, reason: reason)
    return PathStatus(leg: params.leg, path: params.path, isCut: true)
  }

  func restorePath(_ params: RestorePath.Params) async throws(RPCError) -> PathStatus {
    try await around.paths.remove(params.leg, params.path)
    // Services that had lost the leg with its last path take it back at once.
    spawn { await self.haveLegsChecked() }
    return PathStatus(leg: params.leg, path: params.path, isCut: false)
  }
}
