import CLinuxFile
import Glibc
import Synchronization

/// A file of the operating system.
public final class PosixFile: ByteFile {
  /// How a file is opened.
  public enum Mode: Sendable {
    /// It must exist and is only read.
    case read
    /// It must exist.
    case readWrite
    /// It must not exist.
    case create
  }

  /// Bytes of a system call that writes, which ends where a multiple of it does. The kernel keeps what one call wrote together, in
  /// folios as large as that, and file systems that keep buffer heads (ext4) walk all of a folio's at each later small write:
  /// in folios of 256 KiB that takes more than twice as long as in these. Large writes into new pages take a quarter longer.
  static let largestPiece = 32 << 10

  public let name: String
  private let descriptor: Int32
  private let closed = Atomic<Bool>(false)
  /// Whether the file system does not tell what is in memory: then every read may wait.
  private let isOpaque = Atomic<Bool>(false)

  /// Opens or creates a file. A new one can be read and written by its owner and read by the group.
  public init(path: String, mode: Mode) throws(BlockError) {
    let flags =
      switch mode {
      case .read: O_RDONLY
      case .readWrite: O_RDWR
      case .create: O_RDWR | O_CREAT | O_EXCL
      }
    var descriptor: Int32
    repeat { descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o640) } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else { throw .system(errno, "open \(path)") }
    self.descriptor = descriptor
    name = path
  }

  /// Takes over an open descriptor.
  public init(descriptor: Int32, name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  deinit { Glibc.close(descriptor) }

  public func size() throws(BlockError) -> Int64 {
    try requireOpen()
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure("size") }
    if status.st_mode & S_IFMT == S_IFBLK {
      let end = lseek(descriptor, 0, SEEK_END)
      guard end >= 0 else { throw failure("size") }
      return Int64(end)
    }
    return Int64(status.st_size)
  }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try requireOpen()
    guard var position = buffer.baseAddress else { return }
    guard offset >= 0, offset <= largestOffset else { throw BlockError(.outOfRange, "read \(name) at \(offset)") }
    var rest = buffer.count
    var at = offset
    while rest > 0 {
      let count = pread(descriptor, position, rest, off_t(at))
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("read \(rest) bytes at \(at)")
      }
      guard count > 0 else { throw BlockError(.outOfRange, errno: EIO, "read \(name): it ends before \(at)") }
      position += count
      at += Int64(count)
      rest -= count
    }
  }

  /// A file system that cannot tell (`EOPNOTSUPP`) has every read wait for as long as it takes.
  public func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) -> Bool {
    try requireOpen()
    if isOpaque.load(ordering: .relaxed) {
      try read(into: buffer, at: offset)
      return true
    }
    guard offset >= 0, offset <= largestOffset else { return false }
    var piece = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
    let count = preadv2(descriptor, &piece, 1, off_t(offset), FTVS_READ_NOWAIT)
    if count < 0, errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL {
      isOpaque.store(true, ordering: .relaxed)
      try read(into: buffer, at: offset)
      return true
    }
    return count == buffer.count
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try requireOpen()
    guard var position = buffer.baseAddress else { return }
    guard offset >= 0, offset <= largestOffset else { throw BlockError(.outOfRange, "write \(name) at \(offset)") }
    var rest = buffer.count
    var at = offset
    while rest > 0 {
      let piece = min(rest, Self.largestPiece - Int(at % Int64(Self.largestPiece)))
      let count = pwrite(descriptor, position, piece, off_t(at))
      if count < 0 {
        if errno == EINTR { continue }
        throw failure("write \(rest) bytes at \(at)")
      }
      guard count > 0 else { throw BlockError(.io, "write \(name) at \(at): nothing written") }
      position += count
      at += Int64(count)
      rest -= count
    }
  }

  public func flush() throws(BlockError) {
    try requireOpen()
    while fdatasync(descriptor) != 0 {
      // Never repeated after a real failure: the kernel forgets what it could not write.
      guard errno == EINTR else { throw failure("flush") }
    }
  }

  public func truncate(to size: Int64) throws(BlockError) {
    try requireOpen()
    guard size >= 0, size <= largestOffset else { throw BlockError(.outOfRange, "truncate \(name) to \(size)") }
    while ftruncate(descriptor, off_t(size)) != 0 {
      guard errno == EINTR else { throw failure("truncate to \(size)") }
    }
  }

  public func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    try requireOpen()
    try requireRange(offset, count, "allocate")
    guard count > 0 else { return }
    while fallocate(descriptor, 0, off_t(offset), off_t(count)) != 0 {
      if errno == EINTR { continue }
      guard errno == EOPNOTSUPP || errno == ENOSYS else { throw failure("allocate \(count) bytes at \(offset)") }
      if try size() < offset + count { try truncate(to: offset + count) }
      return
    }
  }

  public func punch(at offset: Int64, count: Int64) throws(BlockError) {
    try requireOpen()
    try requireRange(offset, count, "punch")
    guard count > 0 else { return }
    while fallocate(descriptor, FTVS_FALLOCATE_PUNCH, off_t(offset), off_t(count)) != 0 {
      if errno == EINTR { continue }
      guard errno == EOPNOTSUPP || errno == ENOSYS else { throw failure("punch \(count) bytes at \(offset)") }
      let end = min(offset + count, try size())
      return try Zeros.forEachPiece(at: offset, count: end - offset) { (zeros, at) throws(BlockError) in
        try write(zeros, at: at)
      }
    }
  }

  public func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>? {
    let end = try size()
    guard offset >= 0, offset < end else { return nil }
    let start = lseek(descriptor, off_t(offset), FTVS_SEEK_DATA)
    if start < 0 { return errno == ENXIO ? nil : offset..<end }
    guard Int64(start) < end else { return nil }
    let hole = lseek(descriptor, start, FTVS_SEEK_HOLE)
    return Int64(start)..<(hole > start ? min(Int64(hole), end) : end)
  }

  /// The descriptor's number stays taken until nobody uses this object, so that a call in another thread never reaches
  /// a file opened later; the file itself is given back now.
  public func close() {
    guard !closed.exchange(true, ordering: .sequentiallyConsistent) else { return }
    putNothing()
  }

  /// Puts the descriptor on another open file, which is the same one by another way. Calls that are under way end on the one
  /// that it was on.
  func takePlace(of other: PosixFile) {
    guard !closed.load(ordering: .sequentiallyConsistent) else { return }
    _ = dup3(other.descriptor, descriptor, O_CLOEXEC)
    // Closed meanwhile: the file is not to stay open.
    if closed.load(ordering: .sequentiallyConsistent) { putNothing() }
  }

  /// Whether it is the same file of the same mounted file system.
  func isSameFile(as other: PosixFile) -> Bool {
    var (one, two) = (stat(), stat())
    guard fstat(descriptor, &one) == 0, fstat(other.descriptor, &two) == 0 else { return false }
    return one.st_dev == two.st_dev && one.st_ino == two.st_ino
  }

  private func putNothing() {
    let nothing = Glibc.open("/", FTVS_OPEN_PATH | O_CLOEXEC)
    guard nothing >= 0 else { return }
    _ = dup3(nothing, descriptor, O_CLOEXEC)
    Glibc.close(nothing)
  }

  @inline(__always)
  private func requireOpen() throws(BlockError) {
    if closed.load(ordering: .relaxed) { throw BlockError(.closed, name) }
  }

  private func requireRange(_ offset: Int64, _ count: Int64, _ place: String) throws(BlockError) {
    guard offset >= 0, count >= 0, offset <= largestOffset, count <= largestOffset else {
      throw BlockError(.outOfRange, "\(place) \(count) bytes at \(offset) in \(name)")
    }
  }

  private func failure(_ operation: String) -> BlockError {
    let number = errno
    return closed.load(ordering: .relaxed)
      ? BlockError(.closed, name) : .system(number, "\(operation) in \(name)")
  }
}
