import Glibc

/// A file without a name, which another process fills by a descriptor that can only be written to.
struct NamelessFile: ~Copyable {
  private let reader: Int32
  /// To be passed on.
  let writer: Int32

  /// Nil where the system has no descriptors left.
  init?() {
    var path = Array("/tmp/ftvs-picture-XXXXXX".utf8CString)
    let made = mkstemp(&path)
    guard made >= 0 else { return nil }
    unlink(path)
    _ = fcntl(made, F_SETFD, FD_CLOEXEC)
    // Opened anew: QEMU takes only what is open for writing and nothing else.
    let opened = open("/proc/self/fd/\(made)", O_WRONLY | O_CLOEXEC)
    guard opened >= 0 else {
      close(made)
      return nil
    }
    (reader, writer) = (made, opened)
  }

  /// What was written; nil where that is more than `limit`.
  func contents(limit: Int) -> [UInt8]? {
    let size = Int(lseek(reader, 0, SEEK_END))
    guard size >= 0, size <= limit else { return nil }
    var bytes = [UInt8](repeating: 0, count: size)
    var done = 0
    while done < size {
      let count = bytes.withUnsafeMutableBytes {
        pread(reader, $0.baseAddress?.advanced(by: done), size - done, off_t(done))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      done += count
    }
    return Array(bytes[..<done])
  }

  deinit {
    close(reader)
    close(writer)
  }
}
