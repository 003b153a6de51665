import BlockLayers
import NBD
import Primitives
import RPC
import Synchronization

/// One NBD client's use of a volume, in one generation.
final class Session: Sendable {
  let volume: VolumeName
  let generation: Int64
  let gate: SessionGate
  let policy: CurrentWritePolicy
  private let failed: @Sendable (BlockError) -> Void
  private let ended: @Sendable (Session) -> Void
  private let isEnded = Atomic(false)

  /// `failed` is told of every request that the layers refused; `ended` is called once, when nothing of the session is
  /// in flight, on the thread that ends it.
  init(
    volume: VolumeName, generation: Int64, _ policy: CurrentWritePolicy, on device: any BlockDevice,
    failed: @escaping @Sendable (BlockError) -> Void, ended: @escaping @Sendable (Session) -> Void
  ) {
    self.volume = volume
    self.generation = generation
    self.policy = policy
    gate = SessionGate(to: device)
    self.failed = failed
    self.ended = ended
  }

  var exportName: String { ExportName(volume: volume, generation: generation).description }

  func report(_ error: BlockError) { failed(error) }

  func end() {
    guard !isEnded.exchange(true, ordering: .acquiringAndReleasing) else { return }
    gate.close()
    ended(self)
  }
}

/// A volume as one NBD client sees it: the volume's layers behind a gate that a fence closes.
///
/// The session ends with the object: the NBD server lets go of it when the connection has ended.
final class SessionDevice: NBDAnswering {
  let session: Session
  /// The size that the client was told; it stays for as long as the session lasts.
  let size: Int64
  private let service: StorageService

  init(_ session: Session, sizeBytes: Int64, in service: StorageService) {
    self.session = session
    self.service = service
    size = sizeBytes
  }

  deinit { session.end() }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    try gated { (device) throws(BlockError) in try device.read(into: buffer, at: offset) }
  }

  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) {
    try gated { (device) throws(BlockError) in try device.write(buffer, at: offset, flags: flags) }
  }

  func flush() throws(BlockError) {
    try gated { (device) throws(BlockError) in try device.flush() }
  }

  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try gated { (device) throws(BlockError) in try device.trim(at: offset, count: count, flags: flags) }
  }

  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) {
    try gated { (device) throws(BlockError) in try device.writeZeroes(at: offset, count: count, flags: flags) }
  }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] {
    try gated { (device) throws(BlockError) in try device.extents(at: offset, count: count) }
  }

  var isWriteThrough: Bool { session.policy.isWriteThrough }

  var holdsAnswers: Bool { service.holdsAnswers(session.policy) }

  func whenAnswersGoOn(_ release: @escaping @Sendable () -> Void) { service.hold(session, release) }

  func close() { session.end() }

  @inline(__always)
  private func gated<T>(_ body: (any BlockDevice) throws(BlockError) -> T) throws(BlockError) -> T {
    guard let device = session.gate.enter() else { throw BlockError(.closed, "\(session.exportName) was fenced") }
    defer { session.gate.leave() }
    do throws(BlockError) {
      return try body(device)
    } catch {
      session.report(error)
      throw error
    }
  }
}
