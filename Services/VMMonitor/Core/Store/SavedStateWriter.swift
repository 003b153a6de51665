import Crypto
import Glibc
import Primitives

/// Writes a stream to a file on each of some legs at once. A leg that fails, or hangs longer than the bound, is left out from
/// then on.
final class SavedStateWriter {
  /// What was written, and where it is whole and durable.
  struct Written {
    var size: Int64
    var checksum: String
    var legs: [LegID]
    /// Why others are missing.
    var failures: [LegID: String]
  }

  /// A leg's file; only its own thread touches it.
  private final class Copy: Sendable {
    let leg: LegID
    let path: String
    let queue = BlockingQueue("saved state")

    init(_ leg: LegID, _ path: String) {
      self.leg = leg
      self.path = path
    }
  }

  private let files: SavedStateFiles
  private var copies: [(copy: Copy, descriptor: Int32)] = []
  private var failures: [LegID: String] = [:]
  private var hash = SHA256()
  private var size: Int64 = 0
  private var unsynced = 0
  private let wanted: [Copy]

  init(_ files: SavedStateFiles, _ identifier: String, legs: [LegID]) {
    self.files = files
    wanted = legs.map { Copy($0, files.path(identifier, on: $0)) }
  }

  /// Writes a part to all legs; false when none is left.
  func write(_ part: [UInt8]) async -> Bool {
    if size == 0, copies.isEmpty, failures.isEmpty { await open() }
    hash.update(data: part)
    let offset = size
    size += Int64(part.count)
    unsynced += part.count
    let isSynced = unsynced >= SavedStateFiles.syncBytes
    if isSynced { unsynced = 0 }
    await each { descriptor, _ in
      Self.write(part, to: descriptor, at: offset) && (!isSynced || fdatasync(descriptor) == 0)
    }
    return !copies.isEmpty
  }

  /// Makes the files durable, with their names.
  func finish() async -> Written {
    if size == 0, copies.isEmpty, failures.isEmpty { await open() }
    await each { descriptor, path in
      guard fsync(descriptor) == 0 else { return false }
      return (try? FileSystem.sync(directory: FileSystem.parent(of: path))) != nil
    }
    let legs = copies.map(\.copy.leg)
    for (copy, descriptor) in copies { copy.queue.later { close(descriptor) } }
    copies = []
    return Written(size: size, checksum: SavedStateFiles.text(hash.finalize()), legs: legs, failures: failures)
  }

  private func open() async {
    for copy in wanted {
      let path = copy.path
      let opened = await within(files.bound) {
        await copy.queue.run(isolation: nil) { () -> Int32 in
          // Never makes the leg's own directory: one that is missing is a leg that is away.
          let folder = FileSystem.parent(of: path)
          guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { return -errno }
          let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
          return descriptor >= 0 ? descriptor : -errno
        }
      }
      if let opened, opened >= 0 { copies.append((copy, opened)) } else { fail(copy, opened.map { -$0 }) }
    }
  }

  /// Does something with each copy, all at once.
  private func each(_ body: @escaping @Sendable (Int32, String) -> Bool) async {
    let bound = files.bound
    let results = await withTaskGroup(of: (LegID, Int32?).self) { group in
      for (copy, descriptor) in copies {
        group.addTask {
          let code = await within(bound) {
            await copy.queue.run(isolation: nil) { body(descriptor, copy.path) ? 0 : max(1, errno) }
          }
          return (copy.leg, code)
        }
      }
      var results: [LegID: Int32?] = [:]
      for await (leg, code) in group { results[leg] = code }
      return results
    }
    copies = copies.filter { copy, descriptor in
      let code = results[copy.leg] ?? nil
      if code == 0 { return true }
      fail(copy, code)
      copy.queue.later {
        close(descriptor)
        unlink(copy.path)
      }
      return false
    }
  }

  private func fail(_ copy: Copy, _ code: Int32?) {
    failures[copy.leg] = code.map { String(cString: strerror($0)) } ?? "it does not answer"
  }

  private static func write(_ part: [UInt8], to descriptor: Int32, at offset: Int64) -> Bool {
    var done = 0
    while done < part.count {
      let count = part.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done, off_t(offset) + done)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      done += count
    }
    return true
  }
}
