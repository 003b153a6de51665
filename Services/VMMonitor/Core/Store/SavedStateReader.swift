import Glibc
import Synchronization

/// Reads a file of saved memory in parts. Blocks.
final class SavedStateReader: Sendable {
  private let descriptor: Int32
  private let size: Int64
  private let offset = Mutex<Int64>(0)

  /// Nil when there is no such file of that size.
  init?(_ path: String, size: Int64) {
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    self.size = size
    guard descriptor >= 0 else { return nil }
    var status = stat()
    guard fstat(descriptor, &status) == 0, Int64(status.st_size) == size else {
      close(descriptor)
      return nil
    }
  }

  deinit { close(descriptor) }

  var isAtEnd: Bool { offset.withLock { $0 } == size }

  /// The next part; empty at the end, nil where the leg fails.
  func next() -> [UInt8]? {
    offset.withLock { offset in
      var bytes = [UInt8](repeating: 0, count: Int(min(Int64(SavedStateFiles.chunkBytes), size - offset)))
      var done = 0
      while done < bytes.count {
        let count = bytes.withUnsafeMutableBytes {
          pread(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done, off_t(offset) + done)
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return nil }
        done += count
      }
      offset += Int64(done)
      return bytes
    }
  }

  /// Sends all of it to a socket and ends that direction; false where the file or the peer failed.
  func send(to socket: Int32) -> Bool {
    while let part = next() {
      if part.isEmpty { return shutdown(socket, Int32(SHUT_WR)) == 0 }
      var done = 0
      while done < part.count {
        let count = part.withUnsafeBytes {
          Glibc.send(socket, $0.baseAddress?.advanced(by: done), $0.count - done, Int32(MSG_NOSIGNAL))
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        done += count
      }
    }
    return false
  }
}
