import BlockLayers
import Glibc
import Primitives

/// A failed call on a leg's files.
struct LegFileError: Error, Sendable, CustomStringConvertible {
  var leg: LegID
  /// What was tried: "make", "sync".
  var action: String
  var path: String
  var code: Int32

  var isFull: Bool { code == ENOSPC || code == EDQUOT }
  var description: String {
    let why = code == ETIMEDOUT ? "the leg does not answer" : String(cString: strerror(code))
    return "cannot \(action) \(path): \(why)"
  }
}

/// The files of the layers, on each leg: `volumes/VOLUME/LAYER.vhd` and `images/IMAGE/LAYER.vhd`, each with its
/// companions (`LegFiles+Intent.swift`).
///
/// Paths are relative to the storage directory of a leg. Every change is durable when its function returns: the file,
/// and the directory that names it. All functions block.
public struct LegFiles: Sendable {
  static let volumes = "volumes"
  static let images = "images"

  /// The storage directory of each leg.
  public let roots: [LegID: String]
  let calls: LegCalls
  /// The paths by which each leg is reached.
  let paths: [LegID: LegPaths]

  public init(roots: [LegID: String], calls: LegCalls = LegCalls(), paths: [LegID: LegPaths]? = nil) {
    self.roots = roots
    self.calls = calls
    self.paths = paths ?? roots.mapValues { LegPaths(directories: [$0]) }
  }

  /// Does something on a leg; throws when the leg does not answer in time.
  private func bounded<T: Sendable>(
    on leg: LegID, _ action: String, _ path: String, _ body: @escaping @Sendable () throws(LegFileError) -> T
  ) throws(LegFileError) -> T {
    try calls.run(on: leg, orElse: LegFileError(leg: leg, action: action, path: path, code: ETIMEDOUT), body)
  }

  /// The storage directory of a leg by its active path.
  func root(of leg: LegID) -> String { paths[leg]?.directory ?? roots[leg] ?? "" }

  /// Where a file is on a leg.
  func path(_ relative: String, on leg: LegID) -> String { "\(root(of: leg))/\(relative)" }

  /// Opens or makes a file of a leg, by whichever of its paths works.
  func open(_ relative: String, on leg: LegID, _ mode: PosixFile.Mode) throws(BlockError) -> any ByteFile {
    guard let paths = paths[leg] else { return try PosixFile(path: path(relative, on: leg), mode: mode) }
    return try PathFile(relative, of: paths, mode: mode)
  }

  /// Makes the directories that hold all others, where they are missing.
  func makeRoots(on leg: LegID) throws(LegFileError) {
    for name in [Self.volumes, Self.images] { try makeDirectory(path(name, on: leg), on: leg) }
  }

  /// Makes the directory in which a file is to be, where it is missing.
  func makeParent(of relative: String, on leg: LegID) throws(LegFileError) {
    try makeDirectory(Self.directory(of: path(relative, on: leg)), on: leg)
  }

  /// Makes a file durable, and its name.
  func sync(_ relative: String, on leg: LegID) throws(LegFileError) {
    let name = path(relative, on: leg)
    try syncPath(name, on: leg)
    try syncPath(Self.directory(of: name), on: leg)
  }

  /// Gives a layer's file a second name, and its companions.
  func link(_ relative: String, to second: String, on leg: LegID) throws(LegFileError) {
    try makeParent(of: second, on: leg)
    let target = path(second, on: leg)
    let source = path(relative, on: leg)
    try bounded(on: leg, "link", target) { () throws(LegFileError) in
      if Glibc.link(source, target) != 0, errno != EEXIST {
        throw LegFileError(leg: leg, action: "link", path: target, code: errno)
      }
      // Without them nothing is known of what the leg holds: that costs time, and nothing else.
      for (old, new) in zip(Self.companions(of: source), Self.companions(of: target)) { _ = Glibc.link(old, new) }
    }
    try syncPath(Self.directory(of: target), on: leg)
  }

  /// Gives a layer's file, with its companions, the name of another one in the same directory, which is gone then. One
  /// that has it already is left as it is.
  ///
  /// - Parameter isWhole: whether the leg has all files. One that is being brought into step may not have this one yet:
  ///   then what had the name goes, so that it is not taken for it.
  func rename(_ relative: String, to new: String, on leg: LegID, isWhole: Bool) throws(LegFileError) {
    let (source, target) = (path(relative, on: leg), path(new, on: leg))
    try bounded(on: leg, "rename", source) { () throws(LegFileError) in
      guard access(source, F_OK) == 0 else {
        guard errno == ENOENT else { throw LegFileError(leg: leg, action: "find", path: source, code: errno) }
        if !isWhole { for name in Self.companions(of: target) + [target] { unlink(name) } }
        return
      }
      // What is known of the other file must not be believed of this one. Without companions nothing is known of it.
      for companion in Self.companions(of: target) { unlink(companion) }
      guard Glibc.rename(source, target) == 0 else {
        throw LegFileError(leg: leg, action: "rename", path: source, code: errno)
      }
      for (companion, new) in zip(Self.companions(of: source), Self.companions(of: target)) {
        _ = Glibc.rename(companion, new)
      }
    }
    try syncPath(Self.directory(of: target), on: leg)
  }

  /// Forgets what is known of a layer's file. Durable when it returns.
  func removeCompanions(of relative: String, on leg: LegID) throws(LegFileError) {
    let name = path(relative, on: leg)
    try bounded(on: leg, "remove", name) { () throws(LegFileError) in
      for companion in Self.companions(of: name) where unlink(companion) != 0 && errno != ENOENT {
        throw LegFileError(leg: leg, action: "remove", path: companion, code: errno)
      }
    }
    try syncPath(Self.directory(of: name), on: leg)
  }

  /// Removes a layer's file with its companions, and its directory when that is empty then. One that is not there is as
  /// good as removed.
  func remove(_ relative: String, on leg: LegID) throws(LegFileError) {
    let name = path(relative, on: leg)
    let directory = Self.directory(of: name)
    let changed = try bounded(on: leg, "remove", name) { () throws(LegFileError) -> String? in
      var isChanged = false
      // The companions first: beside a file that is made anew they would be believed.
      for name in Self.companions(of: name) + [name] {
        if unlink(name) == 0 {
          isChanged = true
        } else if errno != ENOENT, errno != ENOTDIR {
          throw LegFileError(leg: leg, action: "remove", path: name, code: errno)
        }
      }
      guard isChanged else { return nil }
      return rmdir(directory) == 0 ? Self.directory(of: directory) : directory
    }
    if let changed { try syncPath(changed, on: leg) }
  }

  /// Every layer file there is on a leg; one of which only a companion is left counts.
  func list(on leg: LegID) throws(LegFileError) -> [String] {
    var found: [String] = []
    for kind in [Self.volumes, Self.images] {
      for owner in try entries(of: path(kind, on: leg), on: leg) {
        let names = try entries(of: path("\(kind)/\(owner)", on: leg), on: leg)
        let layers = names.filter { $0.hasSuffix(".vhd") }
        let orphans = names.compactMap(Self.layer(ofCompanion:))
        found += Set(layers).union(orphans).sorted().map { "\(kind)/\(owner)/\($0)" }
      }
    }
    return found
  }

  /// Space that a file takes, in bytes; 0 when it cannot be told.
  func allocatedBytes(_ relative: String, on leg: LegID) -> Int64 {
    var status = stat()
    guard stat(path(relative, on: leg), &status) == 0 else { return 0 }
    return Int64(status.st_blocks).multipliedReportingOverflow(by: 512).partialValue
  }

  /// Length of a file, in bytes; 0 when it cannot be told.
  func length(_ relative: String, on leg: LegID) -> Int64 {
    var status = stat()
    guard stat(path(relative, on: leg), &status) == 0 else { return 0 }
    return Int64(status.st_size)
  }

  /// Space left on a leg, in bytes.
  func freeBytes(on leg: LegID) -> Int64? {
    var status = statvfs()
    guard statvfs(root(of: leg), &status) == 0 else { return nil }
    let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return overflow ? nil : Int64(clamping: bytes)
  }

  // MARK: Reserve

  private static let reserve = "reserve"

  /// Takes the space that is kept for freeing space, where there is enough to take.
  func keepReserve(on leg: LegID) {
    guard let free = freeBytes(on: leg), free > 4 * StorageLimits.reserveBytes else { return }
    let descriptor = Glibc.open(path(Self.reserve, on: leg), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return }
    _ = posix_fallocate(descriptor, 0, off_t(StorageLimits.reserveBytes))
    close(descriptor)
  }

  /// Gives up the kept space of a leg that is full. False when it is not full, or nothing was kept.
  func releaseReserve(on leg: LegID) -> Bool {
    guard let free = freeBytes(on: leg), free < StorageLimits.fullBytes else { return false }
    return unlink(path(Self.reserve, on: leg)) == 0
  }

  // MARK: Parts

  static func directory(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  }

  static func name(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }

  private func makeDirectory(_ name: String, on leg: LegID) throws(LegFileError) {
    let isNew = try bounded(on: leg, "make", name) { () throws(LegFileError) in
      if mkdir(name, 0o750) == 0 { return true }
      if errno == EEXIST { return false }
      throw LegFileError(leg: leg, action: "make", path: name, code: errno)
    }
    if isNew { try syncPath(Self.directory(of: name), on: leg) }
  }

  private func syncPath(_ name: String, on leg: LegID) throws(LegFileError) {
    try bounded(on: leg, "sync", name) { () throws(LegFileError) in
      let descriptor = Glibc.open(name, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw LegFileError(leg: leg, action: "open", path: name, code: errno) }
      defer { close(descriptor) }
      guard fsync(descriptor) == 0 else { throw LegFileError(leg: leg, action: "sync", path: name, code: errno) }
    }
  }

  private func entries(of directory: String, on leg: LegID) throws(LegFileError) -> [String] {
    if let names = Self.names(in: directory) { return names }
    if errno == ENOENT || errno == ENOTDIR { return [] }
    throw LegFileError(leg: leg, action: "list", path: directory, code: errno)
  }

  /// What is in a directory, sorted; nil, with `errno`, when it cannot be read.
  static func names(in directory: String) -> [String]? {
    guard let stream = opendir(directory) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}
