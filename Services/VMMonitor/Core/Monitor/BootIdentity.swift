import Glibc

/// What tells one start of the host from another.
public enum BootIdentity {
  /// The kernel's identifier of this boot, and in a lab that of the lab's own start: its socket's node.
  public static func read(labSocket: String?) async -> String {
    await BlockingQueue("boot identity").run {
      let boot = FileSystem.read("/proc/sys/kernel/random/boot_id", limit: 4096) ?? []
      var identity = String(decoding: boot.filter { $0 > 0x20 }, as: UTF8.self)
      var status = stat()
      if let labSocket, stat(labSocket, &status) == 0 {
        identity += " \(status.st_ino) \(status.st_ctim.tv_sec).\(status.st_ctim.tv_nsec)"
      }
      return identity
    }
  }
}
