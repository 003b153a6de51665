import Glibc

/// The static Unix users of guests: `ftvs-guest0` to `ftvs-guest63`.
public struct GuestUsers: Sendable {
  private let queue = BlockingQueue("user database")

  public init() {}

  /// The user of a slot, or nil when the host has none of that name.
  public func user(slot: Int) async -> UInt32? {
    await queue.run {
      var entry = passwd()
      var found: UnsafeMutablePointer<passwd>?
      var buffer = [CChar](repeating: 0, count: 16384)
      guard getpwnam_r("ftvs-guest\(slot)", &entry, &buffer, buffer.count, &found) == 0, found != nil else {
        return nil
      }
      return entry.pw_uid
    }
  }
}
