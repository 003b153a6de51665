import Glibc

/// Space that is kept on a file system for what must be recorded also when nothing else fits: that the service opened
/// its state again, that a leg is gone. Without it a service that ends while its disk is full would not start again.
///
/// It is a file that holds nothing. A step of it is given up for one change, and taken again as soon as there is room.
struct Reserve: Sendable {
  static let fileName = "state.reserve"
  /// Space kept for a database: its log gets some pages for such a change, and the log's pages may have to be moved.
  static let databaseBytes = 1 << 20
  /// Space kept for the witness: one file of a page, and its name.
  static let witnessBytes = 64 << 10
  /// What is given up, and taken again, at a time.
  private static let stepBytes = 64 << 10

  let path: String
  let bytes: Int

  /// Whether it is smaller than it should be and there is room for it again.
  var isDue: Bool {
    if size >= bytes { return false }
    var space = statvfs()
    guard statvfs(FileOperations.parent(of: path), &space) == 0 else { return false }
    let (free, overflow) = UInt(space.f_bavail).multipliedReportingOverflow(by: UInt(space.f_frsize))
    // Far more than itself: it must not be what fills the disk.
    return overflow || free > 4 * UInt(bytes)
  }

  /// Takes the space, or as much of it as there is.
  func keep() {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var kept = size
    while kept < bytes, posix_fallocate(descriptor, off_t(kept), off_t(Self.stepBytes)) == 0 { kept += Self.stepBytes }
  }

  /// Gives a step of it up. False when there is nothing to give.
  func giveUp() -> Bool {
    let kept = size
    return kept > 0 && truncate(path, off_t(max(0, kept - Self.stepBytes))) == 0
  }

  private var size: Int {
    var facts = stat()
    return stat(path, &facts) == 0 ? Int(facts.st_size) : 0
  }
}

/// What has been tried to make room for one change on legs that are full.
struct Room {
  /// Whether the change is the engine's own: only such may use the reserve.
  let isOwn: Bool
  private var restarted: [LegDatabase] = []
  /// Legs of whose reserve something was given up.
  private(set) var opened: [LegDatabase] = []

  init(isOwn: Bool) { self.isOwn = isOwn }

  /// Makes room on a leg. False when nothing more can be done.
  ///
  /// First the log is brought into the database, so that it can be written from its beginning again, in the place that
  /// it has already. Then the reserve is given up, step by step.
  mutating func make(on leg: LegDatabase) -> Bool {
    if !restarted.contains(where: { $0 === leg }) {
      restarted.append(leg)
      if leg.restartLog() { return true }
    }
    guard isOwn, leg.giveUpReserve() else { return false }
    opened.append(leg)
    _ = leg.restartLog()
    return true
  }
}
