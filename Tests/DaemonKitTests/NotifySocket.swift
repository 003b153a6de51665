import Glibc
import Primitives
import Testing

/// A manager's end of sd_notify(3).
final class NotifySocket: Sendable {
  let path: String
  private let descriptor: Int32
  private let thread = SerialThread(name: "notify-test")

  init(_ path: String) throws {
    self.path = path
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0)
    self.descriptor = descriptor
  }

  deinit {
    thread.stop()
    close(descriptor)
  }

  /// Reads until a message comes that is wanted.
  func next(_ isWanted: @escaping @Sendable (String) -> Bool) async -> String? {
    await thread.result { [descriptor] in
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return "" }
        let message = String(decoding: buffer.prefix(count), as: UTF8.self)
        if isWanted(message) { return message }
      }
    }
  }
}
