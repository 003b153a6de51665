import Glibc

/// One process, as /proc tells.
struct ProcessEntry: Sendable, Equatable {
  let processID: Int32
  let parent: Int32
  let session: Int32
  /// `Z` when it has ended and waits for its parent to notice.
  let state: UInt8
  /// Start in ticks since boot: with the number it names a process for ever.
  let startTicks: UInt64
}

/// What runs on this machine, read from /proc.
enum ProcessTable {
  /// Every process.
  static func all() -> [ProcessEntry] {
    guard let directory = opendir("/proc") else { return [] }
    defer { closedir(directory) }
    var entries: [ProcessEntry] = []
    while let item = readdir(directory) {
      let name = withUnsafeBytes(of: &item.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if let processID = Int32(name), let entry = entry(processID) { entries.append(entry) }
    }
    return entries
  }

  /// One process, or nil when there is none.
  static func entry(_ processID: Int32) -> ProcessEntry? {
    guard let bytes = contents("/proc/\(processID)/stat") else { return nil }
    // The name, second field, is in parentheses and may hold anything; the rest is separated by blanks.
    guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[bytes.index(after: end)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19, let state = fields[0].first, let parent = Int32(text(fields[1])),
      let session = Int32(text(fields[3])), let start = UInt64(text(fields[19]))
    else { return nil }
    return ProcessEntry(
      processID: processID, parent: parent, session: session, state: state, startTicks: start)
  }

  /// Whether the process was started with this variable: `NAME=VALUE`.
  static func environment(of processID: Int32, contains variable: String) -> Bool {
    guard let bytes = contents("/proc/\(processID)/environ") else { return false }
    let wanted = Array(variable.utf8)
    return bytes.split(separator: 0).contains { $0.elementsEqual(wanted) }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes, as: UTF8.self).trimmingNewline
  }

  private static func contents(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(descriptor, &part, part.count)
      if count < 0 { return nil }
      if count == 0 { return bytes }
      bytes.append(contentsOf: part.prefix(count))
    }
  }
}

extension String {
  fileprivate var trimmingNewline: String { last == "\n" ? String(dropLast()) : self }
}
