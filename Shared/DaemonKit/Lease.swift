import Glibc
import Primitives
import RPC
import Synchronization

/// The lock whose holder is the active instance of a service: an exclusive lock of an open file description, fcntl(2), on a file.
///
/// The kernel frees it when its holder dies, and only then: there are never two actives. The descriptor is closed on exec and
/// never handed on. The file holds one line about who holds the lock, for others to read.
public final class Lease: Sendable {
  /// Who holds a lease.
  public struct Holder: Sendable, Equatable {
    /// CPU module of the active instance.
    public var module: ModuleID
    public var processID: Int
    /// 0 while its state is not open yet.
    public var epoch: Int64

    public init(module: ModuleID, processID: Int, epoch: Int64) {
      self.module = module
      self.processID = processID
      self.epoch = epoch
    }
  }

  let descriptor: Int32

  private init(descriptor: Int32) { self.descriptor = descriptor }

  // MARK: Taking

  /// Takes the lock where it is free; nil where it is held, or cannot be looked at.
  static func takeIfFree(_ path: String) -> Lease? {
    guard case .success(let lease?) = lock(path, setLock) else { return nil }
    return lease
  }

  /// Waits, on a thread of its own, until the lock is free, and takes it. Nil when the task was cancelled before.
  public static func take(_ path: String) async throws(LeaseError) -> Lease? {
    let shared = SharedRequest()
    let result: Result<Lease?, LeaseError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        guard shared.wait(continuation) else { return continuation.resume(returning: .success(nil)) }
        startThread(name: "ftvs-lease") { shared.answer(lock(path, setLockWaiting)) }
      }
    } onCancel: {
      shared.cancel()
    }
    return try result.get()
  }

  /// Opens and locks the file. Blocks unless the operation says otherwise.
  private static func lock(_ path: String, _ operation: Int32) -> Result<Lease?, LeaseError> {
    if let slash = path.lastIndex(of: "/") { SmallFile.makeDirectory(String(path[..<slash]), mode: 0o755) }
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
      guard descriptor >= 0 else { return .failure(LeaseError(path: path, code: errno)) }
      // Others look who is active; the umask of a service would keep them from it.
      fchmod(descriptor, 0o644)
      var whole = wholeFile
      while fcntl(descriptor, operation, &whole) != 0 {
        let code = errno
        if code == EINTR { continue }
        close(descriptor)
        return .failure(LeaseError(path: path, code: code))
      }
      // A lock on a file that was removed meanwhile excludes nobody.
      if isFile(descriptor, path) { return .success(Lease(descriptor: descriptor)) }
      close(descriptor)
    }
  }

  private static func isFile(_ descriptor: Int32, _ path: String) -> Bool {
    var held = stat()
    var named = stat()
    guard fstat(descriptor, &held) == 0, lstat(path, &named) == 0 else { return false }
    return held.st_dev == named.st_dev && held.st_ino == named.st_ino
  }

  /// Writes into the file who holds it.
  public func declare(_ holder: Holder) {
    let line: JSONValue = [
      "module": .string(holder.module.rawValue), "processID": .integer(Int64(holder.processID)),
      "epoch": .integer(holder.epoch),
    ]
    // One write of a fixed length, so that a reader never sees a mixture of two lines.
    var bytes = JSON.bytes(line)
    bytes += [UInt8](repeating: UInt8(ascii: " "), count: max(0, Self.lineLength - 1 - bytes.count))
    bytes.append(UInt8(ascii: "\n"))
    _ = pwrite(descriptor, bytes, bytes.count, 0)
    ftruncate(descriptor, off_t(bytes.count))
  }

  /// Gives the lock up. In a daemon the end of the process does that.
  func release() { close(descriptor) }

  private static let lineLength = 128

  // MARK: Looking

  /// Who holds the lock of a file now; nil when nobody does, or the one who does has not said so yet.
  ///
  /// It asks for the lock's state and never touches the lock: a probe that was frozen while it held the lock would keep the
  /// standby from taking over. Nor does it read `/proc/locks`, for which the kernel keeps every process from locking files.
  public static func holder(path: String) -> Holder? {
    guard isLocked(path), let holder = written(path), exists(holder.processID) else { return nil }
    return holder
  }

  private static func written(_ path: String) -> Holder? {
    guard let bytes = SmallFile.read(path, limit: 4 << 10), let json = try? JSON.parse(bytes),
      let module = json["module"]?.string.flatMap({ ModuleID(rawValue: $0) }),
      let process = json["processID"]?.integer.flatMap({ Int(exactly: $0) }),
      let epoch = json["epoch"]?.integer
    else { return nil }
    return Holder(module: module, processID: process, epoch: epoch)
  }

  private static func isLocked(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var whole = wholeFile
    return fcntl(descriptor, getLock, &whole) == 0 && whole.l_type != Int16(F_UNLCK)
  }

  /// Whether a process is there. Who took the lock lately may not have replaced the line of one that has ended.
  private static func exists(_ process: Int) -> Bool {
    guard let process = pid_t(exactly: process), process > 0 else { return false }
    return kill(process, 0) == 0 || errno == EPERM
  }

  // MARK: The kernel's lock

  // F_OFD_GETLK, F_OFD_SETLK and F_OFD_SETLKW of fcntl(2), which Swift does not see.
  private static let getLock: Int32 = 36
  private static let setLock: Int32 = 37
  private static let setLockWaiting: Int32 = 38

  /// An exclusive lock of all bytes.
  private static var wholeFile: flock {
    var lock = flock()
    lock.l_type = Int16(F_WRLCK)
    lock.l_whence = Int16(SEEK_SET)
    return lock
  }

  // MARK: The request between task and thread

  private enum Request {
    case waiting(CheckedContinuation<Result<Lease?, LeaseError>, Never>?)
    case cancelled
    case answered
  }

  /// Who comes first, the lock or the cancellation, decides; a lock that comes second is given back.
  private final class SharedRequest: Sendable {
    private let state = Mutex(Request.waiting(nil))

    /// False when the task is cancelled already.
    func wait(_ continuation: CheckedContinuation<Result<Lease?, LeaseError>, Never>) -> Bool {
      state.withLock { state in
        guard case .waiting = state else { return false }
        state = .waiting(continuation)
        return true
      }
    }

    func answer(_ result: Result<Lease?, LeaseError>) {
      let continuation = take(.answered)
      if let continuation {
        continuation.resume(returning: result)
      } else if case .success(let lease?) = result {
        lease.release()
      }
    }

    func cancel() { take(.cancelled)?.resume(returning: .success(nil)) }

    private func take(_ new: Request) -> CheckedContinuation<Result<Lease?, LeaseError>, Never>? {
      state.withLock { state in
        guard case .waiting(let continuation) = state else { return nil }
        state = new
        return continuation
      }
    }
  }
}

/// Why a lease could not be taken.
public struct LeaseError: Error, Sendable, Equatable, CustomStringConvertible {
  public var path: String
  /// The `errno`.
  public var code: Int32

  public var description: String {
    "The lease \(path) cannot be taken: \(String(cString: strerror(code))). Check that its directory belongs to FTVS "
      + "('systemd-tmpfiles --create' makes it)."
  }
}
