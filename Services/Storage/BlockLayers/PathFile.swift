import Glibc
import Primitives
import Synchronization

/// A file of a leg that is reached by either of its paths.
///
/// A call that fails as by the loss of a path is tried by the standby one, on the same file there: all calls may be repeated.
/// Where that succeeds the leg is switched over; where it does not the error is not the path's. A sync is never repeated after
/// it failed: the kernel forgets what it could not write, and a second sync says nothing about that. Then the leg is
/// switched over, and the error is thrown: the leg has to be copied to.
///
/// After a switch-over the descriptor is put on the file by the new path, under the same number: calls that are under way end
/// where they began. It must be the same file of the same mounted file system, so that both paths have the same pages in
/// memory: what was written by one and not synced is synced by the other.
public final class PathFile: ByteFile {
  private let file: PosixFile
  private let paths: LegPaths
  private let relative: String
  /// The switch-over after which the file was opened.
  private let followed: Atomic<Int>
  private let following = Mutex<Void>(())

  public var name: String { file.name }

  /// Opens or creates a file by the active path, or by the standby one where that fails.
  ///
  /// - Parameter relative: where it is, from the directory of the leg on.
  public init(_ relative: String, of paths: LegPaths, mode: PosixFile.Mode) throws(BlockError) {
    let epoch = paths.epoch
    self.paths = paths
    self.relative = relative
    do throws(BlockError) {
      file = try PosixFile(path: "\(paths.directory)/\(relative)", mode: mode)
      followed = Atomic(epoch)
    } catch {
      guard error.mayBeOfPath, let other = paths.standbyDirectory else { throw error }
      do throws(BlockError) { file = try PosixFile(path: "\(other)/\(relative)", mode: mode) } catch _ { throw error }
      paths.switchOver(since: epoch, reason: error.description)
      followed = Atomic(epoch)
    }
  }

  /// Calls by the active path, and where that is lost by the other one.
  @inline(__always)
  func call<T>(_ body: (PosixFile) throws(BlockError) -> T) throws(BlockError) -> T {
    let epoch = paths.epoch
    if followed.load(ordering: .acquiring) != epoch { try follow() }
    do throws(BlockError) { return try body(file) } catch {
      guard error.mayBeOfPath else { throw error }
      return try byOtherPath(after: error, epoch, body)
    }
  }

  private func byOtherPath<T>(
    after error: BlockError, _ epoch: Int, _ body: (PosixFile) throws(BlockError) -> T
  ) throws(BlockError) -> T {
    if paths.epoch != epoch {
      try follow()
      return try body(file)
    }
    guard let other = openStandby() else { throw error }
    guard other.isSameFile(as: file) else {
      // What was written and not synced may be lost with the path: the leg is brought into step by the other one.
      paths.switchOver(since: epoch, reason: error.description)
      throw error
    }
    let value: T
    do throws(BlockError) { value = try body(other) } catch _ { throw error }
    paths.switchOver(since: epoch, reason: error.description)
    return value
  }

  private func openStandby() -> PosixFile? {
    guard let directory = paths.standbyDirectory else { return nil }
    do throws(BlockError) { return try PosixFile(path: "\(directory)/\(relative)", mode: .readWrite) } catch {
      return nil
    }
  }

  /// Puts the descriptor on the file by the active path. Where that leads to another file the call fails.
  private func follow() throws(BlockError) {
    try following.withLock { (_) throws(BlockError) in
      let epoch = paths.epoch
      guard followed.load(ordering: .acquiring) != epoch else { return }
      let other = try PosixFile(path: "\(paths.directory)/\(relative)", mode: .readWrite)
      guard other.isSameFile(as: file) else {
        throw BlockError(.io, "\(other.name) is another file than \(file.name)")
      }
      file.takePlace(of: other)
      followed.store(epoch, ordering: .releasing)
    }
  }

  public func size() throws(BlockError) -> Int64 { try call { (file) throws(BlockError) in try file.size() } }

  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try call { (file) throws(BlockError) in try file.read(into: buffer, at: offset) }
  }

  public func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
  ) throws(BlockError) -> Bool {
    try call { (file) throws(BlockError) in try file.readWithoutWaiting(into: buffer, at: offset) }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try call { (file) throws(BlockError) in try file.write(buffer, at: offset) }
  }

  public func flush() throws(BlockError) {
    let epoch = paths.epoch
    if followed.load(ordering: .acquiring) != epoch { try follow() }
    do throws(BlockError) { try file.flush() } catch {
      // The same directory would not do better.
      if error.mayBeOfPath, paths.isThereAnotherDirectory {
        paths.switchOver(since: epoch, reason: error.description)
      }
      throw error
    }
  }

  public func truncate(to size: Int64) throws(BlockError) {
    try call { (file) throws(BlockError) in try file.truncate(to: size) }
  }

  public func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    try call { (file) throws(BlockError) in try file.allocate(at: offset, count: count) }
  }

  public func punch(at offset: Int64, count: Int64) throws(BlockError) {
    try call { (file) throws(BlockError) in try file.punch(at: offset, count: count) }
  }

  public func nextData(at offset: Int64) throws(BlockError) -> Range<Int64>? {
    try call { (file) throws(BlockError) in try file.nextData(at: offset) }
  }

  public func close() { file.close() }
}
