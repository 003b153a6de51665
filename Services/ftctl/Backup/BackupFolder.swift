import FTVSClient
import Glibc
import Primitives
import RPC

/// One backup of a volume, as its file `NAME.json` tells.
struct Backup: WireObject, Equatable {
  /// When it was begun, in UTC: `20041130T235959Z`.
  var name: String
  /// The volume.
  var volume: VolumeName
  /// The checkpoint that was made with it: what changed since is the next backup.
  var checkpoint: CheckpointName
  /// The backup that it holds the changes since; left out for a full one.
  var parent: String?
  /// Size of the volume.
  var sizeBytes: Int64
  /// What was read: all that is stored in a full one, what may have changed otherwise.
  var copiedBytes: Int64
  /// When the content was as it is here, in milliseconds since 1970.
  var takenMilliseconds: Int64

  enum CodingKeys: CodingKey, CaseIterable {
    case name, volume, checkpoint, parent, sizeBytes, copiedBytes, takenMilliseconds
  }

  static func field(_ key: CodingKeys) -> Field<Backup> {
    switch key {
    case .name: Field(\.name, "When it was begun, in UTC.")
    case .volume: Field(\.volume, "The volume.")
    case .checkpoint: Field(\.checkpoint, "The checkpoint that was made with it.")
    case .parent: Field(\.parent, "The backup that it holds the changes since; left out for a full one.")
    case .sizeBytes: Field(\.sizeBytes, "Size of the volume.")
    case .copiedBytes:
      Field(\.copiedBytes, "What was read: all that is stored in a full one, what may have changed otherwise.")
    case .takenMilliseconds:
      Field(\.takenMilliseconds, "When the content was as it is here, in milliseconds since 1970.")
    }
  }
}

/// Where the backups of one volume are.
///
///     DIRECTORY/VOLUME/NAME.vhd    a dynamic VHD file for a full backup, else a differencing one on its parent's
///     DIRECTORY/VOLUME/NAME.json   what it is (`Backup`); a backup is there when this is
///     DIRECTORY/VOLUME/NAME.begun  the checkpoint of one that is being made, or was cut, and that of the one before it
///     DIRECTORY/VOLUME/NAME.part   its file until it is whole
///     DIRECTORY/VOLUME/NAME.gone   what was NAME.json, of a backup whose file is being removed
struct BackupFolder: Sendable {
  let path: String

  /// Largest manifest, in bytes.
  private static let manifestBytes = 65_536

  init(_ directory: String, of volume: VolumeName) throws(Complaint) {
    path = "\(try FilePath.absolute(directory))/\(volume)"
  }

  func file(_ name: String, _ kind: String) -> String { "\(path)/\(name).\(kind)" }

  /// The volumes that a directory has backups of.
  static func volumes(in directory: String) throws(Complaint) -> [VolumeName] {
    try names(in: directory).compactMap(VolumeName.init(rawValue:)).sorted { $0.rawValue < $1.rawValue }
  }

  /// The backups, the oldest first. What cannot be read is refused: a chain with a gap would be restored wrongly.
  func backups() throws(Complaint) -> [Backup] {
    var found: [Backup] = []
    for name in try Self.names(in: path).sorted() where name.hasSuffix(".json") {
      let manifest = "\(path)/\(name)"
      let text = try InputFile.text(manifest, atMost: Self.manifestBytes)
      guard let json = try? JSON.parse(Array(text.utf8)),
        let backup = try? WireCoder.decode(Backup.self, from: json, unknownMembers: .ignore, name: "backup"),
        "\(backup.name).json" == name, Self.isName(backup.name), backup.parent.map(Self.isName) ?? true
      else { throw Complaint("\(manifest) does not tell what backup it is.", .noInput) }
      found.append(backup)
    }
    return found.sorted { $0.takenMilliseconds < $1.takenMilliseconds }
  }

  /// The backup and those that it is based on, from the full one on.
  func chain(of backup: Backup) throws(Complaint) -> [Backup] {
    let all = try backups()
    var chain = [backup]
    while let parent = chain.last?.parent {
      guard let found = all.first(where: { $0.name == parent }), !chain.contains(found) else {
        throw Complaint("Backup \(backup.name) is based on \(parent), which is not in \(path).", .noInput)
      }
      chain.append(found)
    }
    return chain.reversed()
  }

  /// What a backup notes before it makes anything, so that the next one can put right what it left.
  struct Begun {
    var name: String
    /// The checkpoint, and the snapshot, that it makes.
    var checkpoint: CheckpointName
    /// The checkpoint that is of no use once the backup is whole.
    var older: CheckpointName?

    var text: String { ([checkpoint] + (older.map { [$0] } ?? [])).map { "\($0)\n" }.joined() }
  }

  /// What backups noted that were cut.
  func cut() throws(Complaint) -> [Begun] {
    var found: [Begun] = []
    for file in try Self.names(in: path) where file.hasSuffix(".begun") {
      let text = try InputFile.text("\(path)/\(file)", atMost: Self.manifestBytes)
      let lines = text.split(separator: "\n").map(String.init)
      guard let checkpoint = lines.first.flatMap(CheckpointName.init(rawValue:)) else {
        throw Complaint("\(path)/\(file) is not what a backup leaves; look at it, and remove it.", .noInput)
      }
      let older = lines.count > 1 ? CheckpointName(rawValue: lines[1]) : nil
      found.append(Begun(name: String(file.dropLast(".begun".count)), checkpoint: checkpoint, older: older))
    }
    return found
  }

  // MARK: Writing

  /// Makes the folder and keeps others out of it for as long as the result is there.
  func lock() throws(Complaint) -> FolderLock {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/\(part)"
      guard mkdir(made, 0o700) == 0 || errno == EEXIST else { throw Self.cannot("make \(made)") }
    }
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.cannot("open \(path)") }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw Complaint("Another backup into \(path) is under way.")
    }
    return FolderLock(descriptor: descriptor)
  }

  /// Writes a small file durably, under its name only when it is whole.
  func write(_ text: String, to name: String, _ kind: String) throws(Complaint) {
    let place = file(name, kind)
    let part = "\(place)~"
    let descriptor = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Self.cannot("write \(place)") }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count, fsync(descriptor) == 0, rename(part, place) == 0
    else { throw Self.cannot("write \(place)") }
    try sync()
  }

  /// Puts a file that is whole and durable into its place.
  func finish(_ name: String) throws(Complaint) {
    guard rename(file(name, "part"), file(name, "vhd")) == 0 else { throw Self.cannot("write \(file(name, "vhd"))") }
    try sync()
  }

  /// Writes durably what a backup is.
  func write(_ backup: Backup) throws {
    try write(JSON.indented(try WireCoder.encode(backup)) + "\n", to: backup.name, "json")
  }

  /// Takes a backup off the list, durably, and then removes its file.
  func removeBackup(_ name: String) throws(Complaint) {
    guard rename(file(name, "json"), file(name, "gone")) == 0 else { throw Self.cannot("remove \(file(name, "json"))") }
    try sync()
    try finishRemoval(name)
  }

  /// Goes on with removals that were cut.
  func finishRemovals() throws(Complaint) {
    for name in try Self.names(in: path) where name.hasSuffix(".gone") {
      try finishRemoval(String(name.dropLast(".gone".count)))
    }
  }

  private func finishRemoval(_ name: String) throws(Complaint) {
    for kind in ["vhd", "gone"] {
      let place = file(name, kind)
      guard unlink(place) == 0 || errno == ENOENT else { throw Self.cannot("remove \(place)") }
    }
  }

  func remove(_ name: String, _ kinds: String...) {
    for kind in kinds { unlink(file(name, kind)) }
  }

  private func sync() throws(Complaint) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { if descriptor >= 0 { close(descriptor) } }
    guard descriptor >= 0, fsync(descriptor) == 0 else { throw Self.cannot("write to \(path)") }
  }

  // MARK: Parts

  /// Names become paths: nothing but what `Backup.name` may be.
  private static func isName(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { byte in
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "T") || byte == UInt8(ascii: "Z")
          || byte == UInt8(ascii: "-")
      }
  }

  private static func names(in directory: String) throws(Complaint) -> [String] {
    guard let open = opendir(directory) else {
      if errno == ENOENT { return [] }
      throw cannot("read \(directory)")
    }
    defer { closedir(open) }
    var names: [String] = []
    while let entry = readdir(open) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names
  }

  static func cannot(_ what: String) -> Complaint {
    Complaint("Cannot \(what): \(String(cString: strerror(errno))).", .system)
  }
}

/// A folder that is kept from others until this goes.
final class FolderLock: Sendable {
  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }
}
