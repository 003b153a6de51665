import Glibc
import Primitives
import VMAPI

/// Between a guest's process and the files.
enum SavedStateStream {
  /// Writes what a socket sends to a file on each leg, until its end. Where no leg takes it, the socket is ended.
  static func receive(
    from socket: Int32, _ files: SavedStateFiles, _ identifier: String, _ legs: [LegID]
  ) async -> SavedStateWriter.Written {
    let writer = SavedStateWriter(files, identifier, legs: legs)
    let queue = BlockingQueue("saved state stream")
    while true {
      let part = await queue.run(isolation: nil) { Self.part(of: socket) }
      if part.isEmpty { return await writer.finish() }
      guard await writer.write(part) else {
        shutdown(socket, Int32(SHUT_RDWR))
        return await writer.finish()
      }
    }
  }

  /// As much as comes, up to a chunk; empty at the end, or when nothing comes for too long.
  private static func part(of socket: Int32) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: SavedStateFiles.chunkBytes)
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeMutableBytes { recv(socket, $0.baseAddress?.advanced(by: done), $0.count - done, 0) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      done += count
    }
    return Array(bytes[..<done])
  }

  /// Sends a file to a socket; false where either fails.
  static func send(_ reader: SavedStateReader, to socket: Int32) async -> Bool {
    await BlockingQueue("saved state stream").run(isolation: nil) {
      if reader.send(to: socket) { return true }
      shutdown(socket, Int32(SHUT_RDWR))
      return false
    }
  }
}
