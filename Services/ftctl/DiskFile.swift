import Glibc
import Primitives

/// A disk image file, or a disk, of this machine, that is taken as a source.
struct DiskFile: Sendable {
  /// As it was given.
  let path: String
  let format: DiskFormat
  let source: QEMUSource
  /// What it holds, up to a whole sector.
  let volumeBytes: Int64

  private static let sector: Int64 = 512
  /// The largest volume: 2040 GiB, the limit of its format (VHD).
  static let largestBytes: Int64 = 2040 << 30

  /// Looks at a file, and refuses what cannot become a volume of its own.
  ///
  /// - Parameter format: what it is; what its first and last bytes say when nil.
  init(_ path: String, format given: DiskFormat?, _ qemu: QEMUImage) async throws(Complaint) {
    let (bytes, isDisk) = try Self.ends(of: path)
    let format: DiskFormat
    do throws(DiskFormatProblem) {
      if let given { format = given } else { format = try bytes.format() }
      try bytes.requireWhole(format)
    } catch {
      throw Complaint(error.sentence(path), .noInput)
    }
    self.path = path
    self.format = format
    source = .file(try FilePath.absolute(path), format, isDisk: isDisk)
    let info: QEMUImage.Info
    do throws(Complaint) {
      info = try await qemu.info(source)
      if info.needsOthers { throw Complaint(DiskFormatProblem.external("only a part").sentence(path), .noInput) }
      if format.isCheckable { try await qemu.check(source) }
    } catch {
      throw Complaint("\(path) (\(format)): \(error.text)", error.exit)
    }
    if info.isEncrypted {
      throw Complaint("\(path) is encrypted; decrypt it first with qemu-img convert.", .noInput)
    }
    guard info.virtualBytes > 0, info.virtualBytes <= Self.largestBytes else {
      throw Complaint(
        info.virtualBytes > 0
          ? "\(path) holds \(Sizes.text(info.virtualBytes)), and a volume has at most 2040 GiB."
          : "\(path) holds nothing.", .noInput)
    }
    volumeBytes = (info.virtualBytes + Self.sector - 1) / Self.sector * Self.sector
  }

  /// The first and the last bytes of a file or disk, and whether it is a disk.
  private static func ends(of path: String) throws(Complaint) -> (DiskFileHead, isDisk: Bool) {
    // What is no file may wait for somebody when it is opened.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw InputFile.unreadable(path) }
    defer { close(descriptor) }
    var facts = stat()
    guard fstat(descriptor, &facts) == 0, [S_IFREG, S_IFBLK].contains(facts.st_mode & S_IFMT) else {
      throw Complaint("\(path) has no size: it is no file or disk.", .noInput)
    }
    let size = Int64(lseek(descriptor, 0, SEEK_END))
    guard size > 0 else {
      throw Complaint(size == 0 ? "\(path) is empty." : "\(path) has no size: it is no file or disk.", .noInput)
    }
    let head = try bytes(of: descriptor, path, at: 0, count: DiskFileHead.headBytes)
    let tail = try bytes(
      of: descriptor, path, at: max(0, size - Int64(DiskFileHead.tailBytes)), count: DiskFileHead.tailBytes)
    return (DiskFileHead(head: head, tail: tail), facts.st_mode & S_IFMT == S_IFBLK)
  }

  private static func bytes(
    of descriptor: Int32, _ path: String, at offset: Int64, count: Int
  ) throws(Complaint) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      let read = bytes.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress?.advanced(by: filled), $0.count - filled, off_t(offset) + off_t(filled))
      }
      if read < 0 && errno == EINTR { continue }
      guard read >= 0 else { throw InputFile.unreadable(path) }
      if read == 0 { break }
      filled += read
    }
    return Array(bytes.prefix(filled))
  }
}

/// Paths of files.
enum FilePath {
  /// The path from the root on: qemu-img takes what has a colon before its first slash for a protocol.
  static func absolute(_ path: String) throws(Complaint) -> String {
    if path.hasPrefix("/") { return path }
    guard let directory = getcwd(nil, 0) else {
      throw Complaint("The present directory cannot be told: \(String(cString: strerror(errno))).", .system)
    }
    defer { free(directory) }
    return "\(String(cString: directory))/\(path)"
  }

  /// The directory that a path is in, and its name there.
  static func parts(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
  }
}
