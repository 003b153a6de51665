import Glibc

/// Files that ftctl writes where somebody says.
enum OutputFile {
  /// Writes a file as a whole; `-` is standard output.
  static func write(_ bytes: [UInt8], to path: String) throws(Complaint) {
    let descriptor = path == "-" ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw unwritable(path) }
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        let complaint = unwritable(path)
        if path != "-" { close(descriptor) }
        throw complaint
      }
      done += count
    }
    guard path == "-" || close(descriptor) == 0 else { throw unwritable(path) }
  }

  private static func unwritable(_ path: String) -> Complaint {
    Complaint("Cannot write \(path): \(String(cString: strerror(errno))).", .system)
  }
}
