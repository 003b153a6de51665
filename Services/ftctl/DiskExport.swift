import FTVSClient
import Glibc
import Primitives
import RPC

/// A disk image file that was written.
struct ExportedFile: WireObject, Equatable {
  /// Where it is.
  var file: String
  /// Its format.
  var format: String
  /// What it holds, as a virtual machine sees it.
  var sizeBytes: Int64
  /// Space that it takes.
  var allocatedBytes: Int64

  enum CodingKeys: CodingKey, CaseIterable {
    case file, format, sizeBytes, allocatedBytes
  }

  static func field(_ key: CodingKeys) -> Field<ExportedFile> {
    switch key {
    case .file: Field(\.file, "Where it is.")
    case .format: Field(\.format, "Its format.")
    case .sizeBytes: Field(\.sizeBytes, "What it holds, as a virtual machine sees it.")
    case .allocatedBytes: Field(\.allocatedBytes, "Space that it takes.")
    }
  }
}

/// Writes a volume, a snapshot or an image into a disk image file, over NBD, and compares the two afterwards.
///
/// The file is written in a directory `FILE.part` beside its place, under its own name, which some formats repeat inside;
/// it is moved to its place once it is whole and durable.
struct DiskExport: Sendable {
  let session: Session
  let qemu = QEMUImage()
  let path: String
  let format: DiskFormat
  /// Whether a file that is there may be replaced.
  let force: Bool

  /// - Parameters:
  ///   - title: what is written, for people.
  ///   - begin: makes the export.
  func run(_ title: String, _ begin: @Sendable () async throws -> CallerExport) async throws -> ExportedFile {
    let place = try ExportPlace(path, force: force)
    let interrupted = InterruptGuard {
      qemu.runner.stop()
      place.removePart()
    }
    defer { interrupted.disarm() }
    defer { place.removePart() }
    let export = try await begin()
    let source = QEMUSource.export(export, socket: session.nbdSocket(export))
    try place.requireSpace(try await qemu.dataBytes(source))
    try await qemu.write(place.part, format, from: source, "Exporting \(title)", bytes: export.sizeBytes)
    let written = QEMUSource.file(place.part, format)
    try await qemu.compare(source, written, "Comparing \(title)", bytes: export.sizeBytes)
    let allocated = try place.finish()
    return ExportedFile(
      file: place.path, format: format.rawValue, sizeBytes: export.sizeBytes, allocatedBytes: allocated)
  }
}

/// Where a file comes to be: written beside its place, put there when it is whole.
final class ExportPlace: Sendable {
  /// The file, from the root on.
  let path: String
  /// Where it is written.
  let part: String
  private let directory: String
  private let partDirectory: String
  private let force: Bool
  /// The part directory, locked for as long as this lasts.
  private let lock: Int32

  /// Space that a format may take beside the data, in parts of that and in bytes.
  private static let overheadPart: Int64 = 64
  private static let overheadBytes: Int64 = 4 << 20

  init(_ given: String, force: Bool) throws(Complaint) {
    path = try FilePath.absolute(given)
    let (directory, name) = FilePath.parts(path)
    (self.directory, self.force) = (directory, force)
    partDirectory = "\(path).part"
    part = "\(partDirectory)/\(name)"
    guard !name.isEmpty, name != ".", name != ".." else { throw Complaint("\(given) is no file's name.", .usage) }
    try Self.requireReplaceable(path, force)
    if mkdir(partDirectory, 0o700) != 0 && errno != EEXIST { throw Self.cannot("write to \(directory)") }
    lock = open(partDirectory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard lock >= 0 else { throw Self.cannot("open \(partDirectory)") }
    do throws(Complaint) { try Self.requireOwn(lock, partDirectory) } catch {
      close(lock)
      throw error
    }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw Complaint("Another export to \(path) is under way.")
    }
    // What an export left that was killed.
    unlink(part)
  }

  deinit { close(lock) }

  /// A directory that others can change, as in /tmp, could lead the writing elsewhere.
  private static func requireOwn(_ directory: Int32, _ path: String) throws(Complaint) {
    var facts = stat()
    guard fstat(directory, &facts) == 0 else { throw cannot("look at \(path)") }
    guard facts.st_uid == geteuid(), facts.st_mode & 0o022 == 0 else {
      throw Complaint("\(path) is there, and others can change it: remove it, or choose another place.", .system)
    }
  }

  private static func requireReplaceable(_ path: String, _ force: Bool) throws(Complaint) {
    var facts = stat()
    guard lstat(path, &facts) == 0 else { return }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw Complaint("\(path) is there, and no file.", .system) }
    guard force else { throw Complaint("\(path) exists; --force replaces it.", .system) }
  }

  /// Throws when the directory has no room for so much data.
  func requireSpace(_ dataBytes: Int64) throws(Complaint) {
    var facts = statvfs()
    guard statvfs(directory, &facts) == 0 else { throw Self.cannot("look at \(directory)") }
    let free = Int64(clamping: facts.f_bavail).multipliedReportingOverflow(by: Int64(clamping: facts.f_frsize))
    let needed = dataBytes + dataBytes / Self.overheadPart + Self.overheadBytes
    guard !free.overflow, free.partialValue < needed else { return }
    throw Complaint(
      "\(directory) has \(Sizes.text(free.partialValue)) left, and the file may need \(Sizes.text(needed)).", .system)
  }

  /// Makes the part durable and puts it into its place. Answers how many bytes it takes.
  func finish() throws(Complaint) -> Int64 {
    let file = open(part, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Self.cannot("open \(part)") }
    defer { close(file) }
    var facts = stat()
    guard fsync(file) == 0, fstat(file, &facts) == 0 else { throw Self.cannot("write \(part)") }
    try move()
    let above = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { if above >= 0 { close(above) } }
    guard above >= 0, fsync(above) == 0 else { throw Self.cannot("write to \(directory)") }
    return Int64(facts.st_blocks) * 512
  }

  private func move() throws(Complaint) {
    if !force {
      // Somebody may have made a file of that name meanwhile. The first name goes with the part.
      if link(part, path) == 0 { return }
      if errno == EEXIST { throw Complaint("\(path) exists; --force replaces it.", .system) }
      // File systems without second names can only be looked at first.
      guard errno == EPERM || errno == EOPNOTSUPP else { throw Self.cannot("write \(path)") }
      try Self.requireReplaceable(path, force)
    }
    guard rename(part, path) == 0 else { throw Self.cannot("write \(path)") }
  }

  /// Removes what was not put into its place.
  func removePart() {
    unlink(part)
    rmdir(partDirectory)
  }

  private static func cannot(_ what: String) -> Complaint {
    Complaint("Cannot \(what): \(String(cString: strerror(errno))).", .system)
  }
}
