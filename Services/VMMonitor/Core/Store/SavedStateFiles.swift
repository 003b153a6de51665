import Crypto
import Glibc
import HostConfiguration
import Primitives
import VMAPI

/// The saved memory of virtual machines: `LEG/vm/saved/IDENTIFIER` on each leg.
///
/// A file is the engine's stream as it came. It means nothing by itself: the record of a virtual machine names it, with size
/// and checksum, once it is whole and durable; one that no record names is removed. A leg that hangs is waited for no
/// longer than the bound.
struct SavedStateFiles: Sendable {
  /// What is written and read at once.
  static let chunkBytes = 1 << 20
  /// How much may be written before it is forced to disk: so that no single wait is long.
  static let syncBytes = 64 << 20
  /// What stays free on a leg besides, for the state of the host itself.
  static let reserveBytes: Int64 = 64 << 20

  let paths: HostPaths
  let bound: Duration

  func directory(on leg: LegID) -> String { "\(paths.state(.vm, on: leg))/saved" }
  func path(_ identifier: String, on leg: LegID) -> String { "\(directory(on: leg))/\(identifier)" }

  /// Legs that have room for so many bytes.
  func legs(withRoomFor bytes: Int64, among legs: [LegID]) async -> [LegID] {
    var answer: [LegID] = []
    for leg in legs {
      let path = paths.state(.vm, on: leg)
      let room = await run { () -> Int64 in
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return 0 }
        return Int64(clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).0)
      }
      if let room, room >= bytes + Self.reserveBytes { answer.append(leg) }
    }
    return answer
  }

  /// A leg whose file is whole and undamaged.
  func undamaged(_ saved: SavedState, among legs: [LegID]) async -> LegID? {
    for leg in legs {
      let path = path(saved.identifier, on: leg)
      // Read in parts, so that a long file is no leg that hangs.
      guard let reader = SavedStateReader(path, size: saved.sizeBytes) else { continue }
      var hash = SHA256()
      var isWhole = true
      while isWhole, let part = await run({ reader.next() }) ?? nil {
        guard !part.isEmpty else { break }
        hash.update(data: part)
      }
      isWhole = reader.isAtEnd
      if isWhole, Self.text(hash.finalize()) == saved.checksum { return leg }
    }
    return nil
  }

  /// The files of a leg; none where it does not answer.
  func names(on leg: LegID) async -> [String] {
    let directory = directory(on: leg)
    return await run { FileSystem.names(in: directory) } ?? []
  }

  /// Removes files. A leg that does not answer keeps them for another time.
  func remove(_ names: [String], on leg: LegID) async {
    let directory = directory(on: leg)
    _ = await run {
      for name in names { unlink("\(directory)/\(name)") }
    }
  }

  /// Copies a file to a leg that has none, or a damaged one.
  ///
  /// - Returns: whether the leg holds it now.
  func copy(_ saved: SavedState, to leg: LegID, from other: LegID) async -> Bool {
    if await undamaged(saved, among: [leg]) != nil { return true }
    guard let reader = SavedStateReader(path(saved.identifier, on: other), size: saved.sizeBytes) else { return false }
    let writer = SavedStateWriter(self, saved.identifier, legs: [leg])
    while let part = await run({ reader.next() }) ?? nil, !part.isEmpty {
      guard await writer.write(part) else { return false }
    }
    let written = await writer.finish()
    guard written.checksum == saved.checksum, written.legs == [leg] else {
      let path = path(saved.identifier, on: leg)
      _ = await run { unlink(path) }
      return false
    }
    return true
  }

  /// Does something with a leg, on a thread of its own, which is left behind where the leg hangs. Nil when it took too long.
  func run<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T? {
    let queue = BlockingQueue("saved state")
    return await within(bound) { await queue.run(isolation: nil, body) }
  }

  static func text(_ digest: SHA256.Digest) -> String {
    digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
