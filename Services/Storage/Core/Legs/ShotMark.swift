import BlockLayers
import Glibc
import Synchronization

/// The file that says that a leg's I/O module was shot: removed, or isolated.
///
/// Each call on a layer's file asks for it, and a look costs more than a quarter of a read that the page cache answers. So
/// that a mark is not there is believed for the rest of the kernel's tick (at most 10 ms, usually 1 to 4).
///
/// This acknowledges nothing that the leg misses. What is acknowledged is decided by the outcome of the call on each leg,
/// never by the mark: a call that the leg did not do fails, and takes the leg out durably first. A look only keeps calls
/// away from a leg that would hang or fail. It never was one with the call it precedes either: a mark may be written between
/// the two, however short. What reaches a leg within the tick is on that leg, and on the other, and in both records.
/// Nobody relies on the leg being left alone from the mark on: whoever writes it then kills the module's processes, and
/// whatever decides which legs count (`ControlState`, `DataLegs.isShot`) looks itself.
///
/// That a mark is there is never remembered: a leg that is back is used at once.
final class ShotMark: Sendable {
  private let path: String
  private let paths: LegPaths?
  private let tick: @Sendable () -> Int64
  /// The tick at whose beginning, or after, the mark was last seen not to be there.
  private let absentIn = Atomic<Int64>(.min)

  /// - Parameters:
  ///   - paths: the paths to the leg: their marks are looked at together with this one, and without any that is not cut the
  ///     leg is as good as shot.
  ///   - tick: a time that stands still for the while for which an answer holds.
  init(path: String, paths: LegPaths? = nil, tick: @escaping @Sendable () -> Int64 = ShotMark.kernelTick) {
    self.path = path
    self.paths = paths
    self.tick = tick
  }

  /// Whether it is there now.
  var isThere: Bool { isShot || paths?.lookAtMarks() == false }

  /// Whether it is the module that was shot.
  var isShot: Bool { access(path, F_OK) == 0 }

  /// Whether it was there in this tick.
  var wasThere: Bool {
    let now = tick()
    if absentIn.load(ordering: .relaxed) == now { return false }
    if isThere { return true }
    absentIn.store(now, ordering: .relaxed)
    return false
  }

  /// The kernel's coarse clock in nanoseconds; read without a system call.
  static let kernelTick: @Sendable () -> Int64 = {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
  }
}
