import Glibc

/// What a serial console printed: a file, and the one before it. Calls block.
struct ConsoleLog {
  /// Size at which a file is put aside and a new one begun; the disk holds at most twice that for a virtual machine.
  static let fileBytes = 1 << 20

  let path: String
  private var descriptor: Int32 = -1
  private var size = 0

  init(path: String) { self.path = path }

  private var older: String { "\(path).1" }

  /// Appends; what cannot be written is lost, for a console must not stop a guest.
  mutating func append(_ bytes: [UInt8]) {
    if descriptor < 0 { reopen() }
    if size + bytes.count > Self.fileBytes {
      close()
      rename(path, older)
      reopen()
    }
    guard descriptor >= 0 else { return }
    let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if count > 0 { size += count }
  }

  private mutating func reopen() {
    try? FileSystem.makeDirectory(FileSystem.parent(of: path), mode: 0o700)
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { return }
    size = max(0, Int(lseek(descriptor, 0, SEEK_END)))
  }

  /// The last bytes.
  func tail(_ count: Int) -> [UInt8] {
    guard count > 0 else { return [] }
    let newer = FileSystem.read(path, limit: Self.fileBytes * 2) ?? []
    if newer.count >= count { return Array(newer.suffix(count)) }
    return Array(((FileSystem.read(older, limit: Self.fileBytes * 2) ?? []) + newer).suffix(count))
  }

  mutating func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  mutating func remove() {
    close()
    unlink(path)
    unlink(older)
  }
}
