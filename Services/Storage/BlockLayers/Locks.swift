import Glibc

/// A lock that many readers or one writer hold; a waiting writer goes before new readers. Not recursive.
public final class ReadWriteLock: @unchecked Sendable {
  // Made before it is shared, freed after, used through thread-safe calls alone.
  private let lock = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)

  public init() {
    var attributes = pthread_rwlockattr_t()
    pthread_rwlockattr_init(&attributes)
    pthread_rwlockattr_setkind_np(&attributes, Int32(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP))
    pthread_rwlock_init(lock, &attributes)
    pthread_rwlockattr_destroy(&attributes)
  }

  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }

  @inline(__always)
  public func lockShared() { pthread_rwlock_rdlock(lock) }

  @inline(__always)
  public func lockExclusive() { pthread_rwlock_wrlock(lock) }

  @inline(__always)
  public func unlock() { pthread_rwlock_unlock(lock) }
}

/// Locks on ranges of a file, by stripes of 64 KiB that share 64 mutexes. Never allocates.
///
/// Two ranges may exclude each other although they do not overlap; overlapping ones always do. Every holder takes its
/// mutexes in ascending order and takes no second range while it holds one, so nobody waits in a circle.
public final class RangeLock: @unchecked Sendable {
  // The mutexes are made before anybody sees this object, used by thread-safe calls alone, and freed afterwards. Each
  // has a cache line of its own.
  private static let stride = 64
  private let mutexes: UnsafeMutableRawPointer

  /// The stripes of one range, to be given back to `unlock`.
  public struct Held: Sendable { fileprivate let mask: UInt64 }

  public init() {
    mutexes = UnsafeMutableRawPointer.allocate(byteCount: 64 * Self.stride, alignment: Self.stride)
    for index in 0..<64 {
      let mutex = (mutexes + index * Self.stride).bindMemory(to: pthread_mutex_t.self, capacity: 1)
      pthread_mutex_init(mutex, nil)
    }
  }

  deinit {
    for index in 0..<64 { pthread_mutex_destroy(mutex(index)) }
    mutexes.deallocate()
  }

  @inline(__always)
  private func mutex(_ index: Int) -> UnsafeMutablePointer<pthread_mutex_t> {
    (mutexes + index * Self.stride).assumingMemoryBound(to: pthread_mutex_t.self)
  }

  /// Waits until nobody else holds a part of the range, and holds it.
  @inline(__always)
  public func lock(at offset: Int64, count: Int64) -> Held {
    let first = offset >> 16
    let last = (offset &+ max(count, 1) &- 1) >> 16
    var mask: UInt64
    if last &- first >= 63 {
      mask = .max
    } else {
      mask = 0
      for stripe in first...last { mask |= 1 << UInt64(truncatingIfNeeded: stripe & 63) }
    }
    return lock(mask: mask)
  }

  /// Waits until nobody holds anything, and holds all.
  public func lockAll() -> Held { lock(mask: .max) }

  /// Waits until everybody who holds a range now has given it back; takes turns with those who lock meanwhile.
  func awaitHolders() {
    for index in 0..<64 {
      pthread_mutex_lock(mutex(index))
      pthread_mutex_unlock(mutex(index))
    }
  }

  @inline(__always)
  private func lock(mask: UInt64) -> Held {
    var rest = mask
    while rest != 0 {
      pthread_mutex_lock(mutex(rest.trailingZeroBitCount))
      rest &= rest &- 1
    }
    return Held(mask: mask)
  }

  /// Gives back what `lock` returned.
  @inline(__always)
  public func unlock(_ held: Held) {
    var rest = held.mask
    while rest != 0 {
      pthread_mutex_unlock(mutex(rest.trailingZeroBitCount))
      rest &= rest &- 1
    }
  }
}
