import Glibc
import ServiceAPI

/// What the kernel knows of this process.
enum ProcessFacts {
  static var identifier: Int32 { getpid() }

  /// Memory that is resident now, in bytes.
  static var residentBytes: Int {
    guard let bytes = SmallFile.read("/proc/self/statm", limit: 4 << 10) else { return 0 }
    let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
  }

  /// Processor time of all threads since the start, in seconds.
  static var processorSeconds: Double {
    var usage = rusage()
    guard getrusage(RUSAGE_SELF.rawValue, &usage) == 0 else { return 0 }
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  /// Descriptors that are open.
  static var openDescriptors: Int {
    guard let listing = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(listing) }
    var count = 0
    while readdir(listing) != nil { count += 1 }
    // "." and "..", and the one of the listing.
    return max(0, count - 3)
  }
}
