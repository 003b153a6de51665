import Glibc
import Primitives
import RPC

/// The lock whose holder is active. The kernel frees it when the holder dies, and by nothing else: there are never two.
///
/// The file holds one line of JSON that tells who holds it; the lock is what counts, the line is for readers.
public final class Lease: Sendable {
  /// Who is active, as the holder wrote it.
  public struct Holder: WireObject, Equatable {
    public var module: ModuleID
    public var processID: Int

    public enum CodingKeys: CodingKey, CaseIterable { case module, processID }

    public static func field(_ key: CodingKeys) -> Field<Holder> {
      switch key {
      case .module: Field(\.module, "CPU module of the active instance.")
      case .processID: Field(\.processID, "Its process.")
      }
    }

    public init(module: ModuleID, processID: Int) {
      self.module = module
      self.processID = processID
    }
  }

  /// Why the lease could not be waited for.
  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  private let descriptor: Int32

  private init(descriptor: Int32) { self.descriptor = descriptor }

  /// Gives the lease up. A process that ends does so as well.
  deinit { close(descriptor) }

  /// Waits for the lease, on a thread of its own, for as long as another holds it.
  public static func acquire(path: String, holder: Holder) async throws(Failure) -> Lease {
    let result: Result<Lease, Failure> = await withCheckedContinuation { continuation in
      startThread(name: "ftvs-lease") { continuation.resume(returning: wait(path, holder)) }
    }
    return try result.get()
  }

  private static func wait(_ path: String, _ holder: Holder) -> Result<Lease, Failure> {
    if let end = path.lastIndex(of: "/") { _ = mkdir(String(path[..<end]), 0o755) }
    // Not inherited by anything: a helper that outlives its parent would keep a dead instance active.
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      return .failure(Failure(description: "Cannot open the lease \(path): \(String(cString: strerror(errno)))."))
    }
    while flock(descriptor, LOCK_EX) != 0 {
      guard errno == EINTR else {
        let reason = String(cString: strerror(errno))
        close(descriptor)
        return .failure(Failure(description: "Cannot lock the lease \(path): \(reason)."))
      }
    }
    if let value = try? WireCoder.encode(holder) {
      let line = JSON.bytes(value) + [UInt8(ascii: "\n")]
      // The line is shorter or longer than the last one; readers take it only together with the lock.
      _ = ftruncate(descriptor, 0)
      _ = pwrite(descriptor, line, line.count, 0)
    }
    return .success(Lease(descriptor: descriptor))
  }

  /// Who holds the lease now; nil when nobody does, or when that cannot be read.
  ///
  /// The look takes a shared lock for an instant when the lease is free; who waits for it gets it right after.
  public static func holder(path: String) -> Holder? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
    guard errno == EWOULDBLOCK, let bytes = wholeFile(path, limit: 4096) else { return nil }
    guard let value = try? JSON.parse(bytes) else { return nil }
    return try? WireCoder.decode(Holder.self, from: value, unknownMembers: .ignore)
  }
}
