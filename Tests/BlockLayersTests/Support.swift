import Primitives
import BlockLayers
import Glibc
import Synchronization

/// A directory that is gone with its last user.
final class TemporaryDirectory: Sendable {
  let root: String

  init() {
    var template = Array("/tmp/ftvs-block-XXXXXX".utf8CString)
    root = mkdtemp(&template).map { String(cString: $0) } ?? "/nonexistent"
  }

  deinit {
    guard let entries = opendir(root) else { return }
    while let entry = readdir(entries) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      unlink("\(root)/\(name)")
    }
    closedir(entries)
    rmdir(root)
  }

  func path(_ name: String) -> String { "\(root)/\(name)" }

  func content(_ name: String) throws -> [UInt8] {
    let file = try PosixFile(path: path(name), mode: .read)
    return try file.bytes(at: 0, count: Int(file.size()))
  }
}

extension ByteFile {
  func bytes(at offset: Int64, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try read(into: $0, at: offset) }
    return bytes
  }

  func write(_ bytes: [UInt8], at offset: Int64) throws {
    try bytes.withUnsafeBytes { try write($0, at: offset) }
  }
}

extension BlockDevice {
  func bytes(at offset: Int64, count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try read(into: $0, at: offset) }
    return bytes
  }

  func write(_ bytes: [UInt8], at offset: Int64) throws {
    try bytes.withUnsafeBytes { try write($0, at: offset) }
  }
}

final class ShotGate: Sendable {
  private let shot = Atomic<Bool>(false)
  var isShot: @Sendable () -> Bool { { self.shot.load(ordering: .relaxed) } }
  func shoot() { shot.store(true, ordering: .relaxed) }
}

/// Threads that a test waits for.
final class ThreadGroup: @unchecked Sendable {
  // `running` is touched only with `monitor` held.
  private let monitor = Monitor()
  private var running = 0

  func start(_ body: @escaping @Sendable () -> Void) {
    enter()
    let started = IOThread.start(name: "test") { [self] in
      body()
      leave()
    }
    if !started { leave() }
  }

  func enter() { monitor.locked { running += 1 } }

  func leave() {
    monitor.locked {
      running -= 1
      monitor.wakeAll()
    }
  }

  func join() {
    monitor.lock()
    while running > 0 { monitor.wait() }
    monitor.unlock()
  }
}

/// Whether a `HangingFile` hangs.
final class HangGate: Sendable {
  private let closed = Atomic<Bool>(false)

  func close() { closed.store(true, ordering: .relaxed) }
  func open() { closed.store(false, ordering: .relaxed) }

  func pass() {
    while closed.load(ordering: .relaxed) { usleep(1000) }
  }
}

/// A file on a disk that hangs in what waits for the disk.
final class HangingFile: ByteFile {
  private let file: any ByteFile
  private let gate: HangGate

  init(_ file: any ByteFile, _ gate: HangGate) {
    self.file = file
    self.gate = gate
  }

  var name: String { file.name }
  func size() throws(BlockError) -> Int64 { try file.size() }
  func close() { file.close() }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.read(into: buffer, at: offset)
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    try file.write(buffer, at: offset)
  }

  func flush() throws(BlockError) {
    gate.pass()
    try file.flush()
  }

  func truncate(to size: Int64) throws(BlockError) {
    gate.pass()
    try file.truncate(to: size)
  }

  func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    gate.pass()
    try file.allocate(at: offset, count: count)
  }

  func punch(at offset: Int64, count: Int64) throws(BlockError) {
    gate.pass()
    try file.punch(at: offset, count: count)
  }
}

/// A file with a block that cannot be read until it was written.
final class BadBlockFile: ByteFile {
  private let file: any ByteFile
  private let offset: Int64
  private let bad = Atomic<Bool>(true)

  init(_ file: any ByteFile, at offset: Int64) {
    self.file = file
    self.offset = offset
  }

  func spoil() { bad.store(true, ordering: .relaxed) }

  var isBad: Bool { bad.load(ordering: .relaxed) }
  var name: String { file.name }
  func close() {}
  func size() throws(BlockError) -> Int64 { try file.size() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    if isBad, offset <= self.offset, self.offset < offset + Int64(buffer.count) {
      throw BlockError(.io, "unreadable block")
    }
    try file.read(into: buffer, at: offset)
  }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    if offset == self.offset { bad.store(false, ordering: .relaxed) }
    try file.write(buffer, at: offset)
  }
  func flush() throws(BlockError) { try file.flush() }
  func truncate(to size: Int64) throws(BlockError) { try file.truncate(to: size) }
  func allocate(at offset: Int64, count: Int64) throws(BlockError) { try file.allocate(at: offset, count: count) }
  func punch(at offset: Int64, count: Int64) throws(BlockError) { try file.punch(at: offset, count: count) }
}
