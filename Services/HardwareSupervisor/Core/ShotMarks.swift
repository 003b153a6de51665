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
    try await perform(module) { path in
      let directory = Self.directory(path)
      if mkdir(directory, 0o755) != 0, errno != EEXIST { return errno }
      let file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)
      guard file >= 0 else { return errno }
      defer { close(file) }
      return fsync(file) == 0 ? Self.sync(directory) : errno
    }
  }

  public func remove(_ module: ModuleID) async throws(RPCError) {
    try await perform(module) { path in
      if unlink(path) != 0 { return errno == ENOENT ? 0 : errno }
      return Self.sync(Self.directory(path))
    }
  }

  public func exists(_ module: ModuleID) async -> Bool {
    guard let path = paths[module] else { return false }
    return await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: access(path, F_OK) == 0) }
    }
  }

  private func perform(_ module: ModuleID, _ work: @escaping @Sendable (String) -> Int32) async throws(RPCError) {
    guard let path = paths[module] else { return }
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
