import Glibc

/// The file of a guest's shared memory, on the same file system as its sockets: a tmpfs, but in a lab.
extension GuestFiles {
  /// Makes way for a new file, or looks whether there is the one that is to be mapped. Blocks.
  ///
  /// A file that somebody maps is never emptied: it is removed, and whoever maps it keeps what was there. Where the guest's
  /// memory is its own, a file of an earlier run goes, too: it holds that guest's memory.
  ///
  /// - Returns: why the guest cannot have its memory there, or nil.
  func prepareMemory(_ memory: GuestPlan.SharedMemory?, bytes: Int64) -> String? {
    guard memory == .existing else {
      unlink(self.memory)
      return memory == nil ? nil : complaintAboutRoom(bytes)
    }
    var status = stat()
    guard lstat(self.memory, &status) == 0 else { return "\(self.memory): \(String(cString: strerror(errno)))" }
    guard status.st_mode & S_IFMT == S_IFREG, Int64(status.st_size) == bytes else {
      return "\(self.memory) is not the memory of this guest, which has \(bytes) bytes"
    }
    return nil
  }

  /// A guest that finds its memory full in mid-run is ended by a signal: there is to be room for all of it.
  private func complaintAboutRoom(_ bytes: Int64) -> String? {
    var status = statvfs()
    guard statvfs(directory, &status) == 0 else { return "\(directory): \(String(cString: strerror(errno)))" }
    let (free, isTooMuch) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    guard !isTooMuch, free < UInt64(max(0, bytes)) else { return nil }
    return "\(directory) has \(free >> 20) MiB free and the guest's memory takes \(bytes >> 20) MiB; enlarge the file "
      + "system, or end other guests"
  }
}
