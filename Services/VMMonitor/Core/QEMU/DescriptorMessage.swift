import Glibc

/// Passes a descriptor to another process (SCM_RIGHTS, unix(7)).
enum DescriptorMessage {
  /// A control message with one descriptor, as the kernel lays it out: cmsg(3).
  private struct Control {
    var header: cmsghdr
    var descriptor: Int32
    /// Up to the alignment of the next message.
    var padding: Int32 = 0
  }

  /// Sends bytes and a descriptor; returns how many bytes were taken, or -1 and `errno`.
  static func send(_ bytes: [UInt8], passing descriptor: Int32, to socket: Int32) -> Int {
    let length = MemoryLayout<cmsghdr>.size + MemoryLayout<Int32>.size
    var header = cmsghdr()
    header.cmsg_len = length
    header.cmsg_level = SOL_SOCKET
    header.cmsg_type = Int32(SCM_RIGHTS)
    var control = Control(header: header, descriptor: descriptor)
    return bytes.withUnsafeBytes { buffer in
      withUnsafeMutablePointer(to: &control) { control in
        var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: buffer.baseAddress), iov_len: buffer.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
          var message = msghdr()
          message.msg_iov = vector
          message.msg_iovlen = 1
          message.msg_control = UnsafeMutableRawPointer(control)
          message.msg_controllen = MemoryLayout<Control>.size
          return sendmsg(socket, &message, Int32(MSG_NOSIGNAL))
        }
      }
    }
  }
}
