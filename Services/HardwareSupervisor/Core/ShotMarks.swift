import Dispatch
import Glibc
import Primitives
import RPC

/// The marks that keep modules dead: while a module's mark exists, none of its units starts.
public protocol ShotMarks: Sendable {
  /// Durable when it returns.
  func write(_ module: ModuleID) async throws(RPCError)
  func remove(_ module: ModuleID) async throws(RPCError)
  func exists(_ module: ModuleID) async -> Bool
}

/// Marks as files. All file work runs on a queue of its own.
public final class FileShotMarks: ShotMarks {
  private let paths: [ModuleID: String]
  private let queue = DispatchQueue(label: "ftvs.shotMarks")

  /// - Parameter path: file of a module's mark; its directory is made when it is missing.
  public init(path: (ModuleID) -> String) {
    paths = Dictionary(uniqueKeysWithValues: ModuleID.allCases.map { ($0, path($0)) })
  }

  public func write(_ module: ModuleID) async throws(RPCError) {
    try await perform(module) { MarkFile.write($0, "") }
  }

  public func remove(_ module: ModuleID) async throws(RPCError) {
    try await perform(module) { MarkFile.remove($0) }
  }

  public func exists(_ module: ModuleID) async -> Bool {
    guard let path = paths[module] else { return false }
    return await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: access(path, F_OK) == 0) }
    }
  }

  private func perform(_ module: ModuleID, _ work: @escaping @Sendable (String) -> Int32) async throws(RPCError) {
    guard let path = paths[module] else { return }
    try await MarkFile.perform(path, on: queue, work)
  }
}

/// Marks as files.
enum MarkFile {
  /// Makes a mark with a text, in a directory that is made when it is missing. Whoever finds it finds the whole text, and may
  /// read it. Returns 0 or an error number.
  static func write(_ path: String, _ text: String) -> Int32 {
    let directory = directory(path)
    if mkdir(directory, 0o755) != 0, errno != EEXIST { return errno }
    let part = path + "~"
    let file = open(part, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { return errno }
    defer { close(file) }
    let bytes = Array(text.utf8)
    guard bytes.isEmpty || Glibc.write(file, bytes, bytes.count) == bytes.count else { return errno }
    // Other services read it, and the mask of this one keeps them out.
    guard fchmod(file, 0o644) == 0, fsync(file) == 0, rename(part, path) == 0 else { return errno }
    return sync(directory)
  }

  /// Removes a mark, where there is one. Returns 0 or an error number.
  static func remove(_ path: String) -> Int32 {
    if unlink(path) != 0 { return errno == ENOENT ? 0 : errno }
    return sync(directory(path))
  }

  static func perform(
    _ path: String, on queue: DispatchQueue, _ work: @escaping @Sendable (String) -> Int32
  ) async throws(RPCError) {
    let code = await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: work(path)) }
    }
    guard code == 0 else {
      throw RPCError(
        CommonFailure.stateUnavailable,
        "The mark \(path) cannot be written: \(String(cString: strerror(code))). Make its directory writable.")
    }
  }

  private static func directory(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }

  /// Makes names in a directory durable. Returns 0 or an error number.
  private static func sync(_ directory: String) -> Int32 {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    return fsync(descriptor) == 0 ? 0 : errno
  }
}
