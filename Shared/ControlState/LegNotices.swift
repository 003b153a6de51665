import Glibc

/// Hears from the kernel (inotify(7)) when a leg's directories or a shot mark come, go or change their rights.
///
/// It hears nothing of a mount, of a file system that went read-only, or of what another host does on a shared one: looks
/// are still needed, only less often. Used by one thread, but for `stop`.
final class LegNotices {
  /// How a wait ended.
  enum Ending { case stopped, heard, timedOut }

  /// The name that matters in a directory, by directory.
  private let names: [String: Set<String>]
  private let notices: Int32
  /// What matters in a directory that is watched, by its number.
  private var watched: [Int32: Set<String>] = [:]
  private var buffer = [UInt8](repeating: 0, count: 4096)

  /// Prepares to hear of these files and of the directories that they are in: of as many levels as are given.
  init(_ files: [(path: String, levels: Int)]) {
    var names: [String: Set<String>] = [:]
    for file in files {
      var path = file.path
      for _ in 0..<file.levels {
        let directory = FileOperations.parent(of: path)
        guard directory != path, let slash = path.lastIndex(of: "/") else { break }
        names[directory, default: []].insert(String(path[path.index(after: slash)...]))
        path = directory
      }
    }
    self.names = names
    notices = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
  }

  deinit { if notices >= 0 { close(notices) } }

  private static let events =
    UInt32(IN_CREATE) | UInt32(IN_DELETE) | UInt32(IN_MOVED_FROM) | UInt32(IN_MOVED_TO) | UInt32(IN_ATTRIB)
    | UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF) | UInt32(IN_ONLYDIR)

  /// Watches what the paths lead to now. To be called before each look: what comes to be there later is heard of.
  ///
  /// False when the kernel does not let everything be watched that is there.
  func renew() -> Bool {
    guard notices >= 0 else { return false }
    var isComplete = true
    var renewed: [Int32: Set<String>] = [:]
    for (directory, names) in names {
      let number = inotify_add_watch(notices, directory, Self.events)
      if number >= 0 {
        renewed[number, default: []].formUnion(names)
      } else if errno != ENOENT, errno != ENOTDIR {
        isComplete = false
      }
    }
    for number in watched.keys where renewed[number] == nil { inotify_rm_watch(notices, number) }
    watched = renewed
    return isComplete
  }

  /// Waits until something that matters is heard, or `stop` becomes readable, or the time is over.
  func wait(milliseconds: Int32, stop: Int32, hearing: Bool) -> Ending {
    let end = monotonicMilliseconds() + Int64(milliseconds)
    while true {
      let left = Int32(clamping: max(0, end - monotonicMilliseconds()))
      var descriptors = [
        pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        pollfd(fd: hearing ? notices : -1, events: Int16(POLLIN), revents: 0),
      ]
      let count = poll(&descriptors, 2, left)
      if descriptors[0].revents != 0 { return .stopped }
      if count > 0, takeAll() { return .heard }
      if count == 0 || (count < 0 && errno != EINTR) {
        return takeAll() ? .heard : .timedOut
      }
    }
  }

  /// Reads all that was heard; true when something of it matters.
  private func takeAll() -> Bool {
    guard notices >= 0 else { return false }
    var matters = false
    while true {
      let count = read(notices, &buffer, buffer.count)
      guard count > 0 else { return matters }
      matters = buffer.withUnsafeBytes { matter(UnsafeRawBufferPointer(rebasing: $0[..<count])) } || matters
    }
  }

  /// inotify(7): each event is a fixed part (watch, mask, cookie, length) and as many bytes of a name, padded with zeros.
  private func matter(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var matters = false
    var offset = 0
    while offset + 16 <= bytes.count {
      let watch = bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)
      let mask = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
      let length = Int(bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
      let end = min(offset + 16 + length, bytes.count)
      let name = String(decoding: bytes[(offset + 16)..<end].prefix { $0 != 0 }, as: UTF8.self)
      offset = end
      // Of a watch that was given up.
      if watch >= 0, watched[watch] == nil { continue }
      // Without a name it is the directory itself, or that events were lost.
      if name.isEmpty || watched[watch]?.contains(name) == true { matters = true }
      if mask & UInt32(IN_IGNORED) != 0 { watched[watch] = nil }
    }
    return matters
  }
}
