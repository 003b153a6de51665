import Primitives
import Synchronization

/// A large write to the second leg while the caller writes to the first one: a thread of that leg does it, or the caller
/// does, whoever gets to it first. So it takes as long as one of them where a processor is free, and never waits for a thread.
///
/// Unchecked: the buffer is the caller's, who lends it from `init` until `finish` returns. `hasEnded` is touched only with
/// `monitor` held; `failure` is written by whoever took the write: by the caller, or before `hasEnded` is set.
final class SecondWrite: @unchecked Sendable {
  /// Bytes from which on it pays to wake another thread.
  static let least = 128 << 10

  private let leg: MirroredFile.Leg
  private let buffer: UnsafeRawBufferPointer
  private let offset: Int64
  private let isTaken = Atomic<Bool>(false)
  private let monitor = Monitor()
  private var hasEnded = false
  private var failure: BlockError?

  init(_ leg: MirroredFile.Leg, _ buffer: UnsafeRawBufferPointer, at offset: Int64) {
    self.leg = leg
    self.buffer = buffer
    self.offset = offset
  }

  /// Does it, unless the caller has begun to.
  func run() {
    guard take() else { return }
    write()
    monitor.locked {
      hasEnded = true
      monitor.wakeAll()
    }
  }

  /// Does it, or waits until it is done. Why it failed; nil when it did not.
  func finish() -> BlockError? {
    if take() {
      write()
      return failure
    }
    return monitor.locked {
      while !hasEnded { monitor.wait() }
      return failure
    }
  }

  private func take() -> Bool { !isTaken.exchange(true, ordering: .acquiringAndReleasing) }

  private func write() {
    do throws(BlockError) {
      try leg.gated { (leg) throws(BlockError) in try leg.file.write(buffer, at: offset) }
    } catch {
      failure = error
    }
  }
}
