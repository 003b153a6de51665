import GRDB
import Primitives
import Synchronization

/// Writes an image of the state to a leg, piece by piece on the leg's thread, and puts it in place.
///
/// The state's thread does not wait for it, and the image is in memory (the state is small): a leg that hangs again
/// meanwhile holds nobody up, least of all the leg that is copied from.
final class ImageCopy: Sendable {
  let thread: LegThread
  let directory: String
  /// What the directory was when the copy began.
  let identity: LegIdentity
  private let shotMark: String?
  private let oldSuffix: String?
  private let hook: (@Sendable (LegID, LegStep) throws -> Void)?
  private let image: [UInt8]
  private let isCancelled = Mutex(false)

  private static let pieceBytes = 1 << 20

  /// - Parameter oldSuffix: what the database that is replaced is called from then on; without one it is removed.
  init(
    of image: [UInt8], on thread: LegThread, to directory: String, _ identity: LegIdentity, shotMark: String?,
    oldSuffix: String?, hook: (@Sendable (LegID, LegStep) throws -> Void)?
  ) {
    self.image = image
    self.thread = thread
    self.directory = directory
    self.identity = identity
    self.shotMark = shotMark
    self.oldSuffix = oldSuffix
    self.hook = hook
  }

  /// How far it is. Unchecked: a database that is passed on is the receiver's.
  enum Progress: @unchecked Sendable {
    case copied(bytes: Int, of: Int)
    /// The image is in place; its database is open, and marked as incomplete.
    case inPlace(LegDatabase)
    case failed(any Error)
  }

  /// Begins. `report` is called on the leg's thread, last with `inPlace` or `failed`, and after `cancel` no more.
  func begin(report: @escaping @Sendable (Progress) -> Void) {
    step(report) { [self] in
      try LegDatabase.removeNew(in: directory)
      copyNext(at: 0, report)
    }
  }

  /// Ends it, and removes what it made: what did not come to its end is worth nothing, and the leg may be full.
  func cancel() {
    isCancelled.withLock { $0 = true }
    thread.afterwards { [self] in try hooked { try LegDatabase.removeNew(in: directory) } }
  }

  private var path: String { directory + "/" + LegDatabase.fileName + ".new" }

  /// One piece in a turn: whoever wants to look at the leg meanwhile gets his turn, too.
  private func copyNext(at offset: Int, _ report: @escaping @Sendable (Progress) -> Void) {
    step(report) { [self] in
      guard offset < image.count else { return report(.inPlace(try install())) }
      let end = min(offset + Self.pieceBytes, image.count)
      try FileOperations.write(image[offset..<end], at: offset, to: path)
      report(.copied(bytes: end, of: image.count))
      copyNext(at: end, report)
    }
  }

  private func step(_ report: @escaping @Sendable (Progress) -> Void, _ body: @escaping () throws -> Void) {
    thread.afterwards { [self] in
      if isCancelled.withLock({ $0 }) { return }
      do { try hooked(body) } catch { report(.failed(error)) }
    }
  }

  private func hooked(_ body: () throws -> Void) throws {
    try hook?(thread.leg, .copy)
    defer { try? hook?(thread.leg, .copied) }
    try body()
  }

  private func install() throws -> LegDatabase {
    let queue = try LegDatabase.openQueue(path)
    do {
      try queue.inDatabase { try $0.execute(sql: "UPDATE ftvs_state SET complete = 0") }
    } catch {
      try? queue.close()
      throw error
    }
    try queue.close()
    try LegDatabase.install(in: directory, oldSuffix: oldSuffix)
    return try LegDatabase(on: thread, directory: directory, shotMark: shotMark)
  }
}
