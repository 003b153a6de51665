import Glibc
import Primitives
import Synchronization

/// The paths by which a leg's files are reached, as by two controllers: one is *active*, another one *standby*. Where a call
/// fails by the active one and succeeds by the other, that becomes the active one, and open files follow (`PathFile`).
///
/// A path is *cut* while a mark file of it exists; what the mark holds is the reason. Reading marks and switching over block
/// for as long as the file system of the marks takes, which is none of a leg.
public final class LegPaths: Sendable {
  /// What a path is good for.
  public enum State: Sendable, Equatable {
    case active, standby
    case failed(reason: String)

    var isFailed: Bool { self != .active && self != .standby }
  }

  /// One path.
  public struct Path: Sendable, Equatable {
    /// Its number on the leg, from 0 on.
    public var number: Int
    /// The directory of the leg by this path.
    public var directory: String
    public var state: State
    /// When it came into this state, in milliseconds since 1970.
    public var sinceMilliseconds: Int64
  }

  /// What somebody should know.
  public enum Event: Sendable, Equatable {
    /// A path was lost; `successor` is the one that was taken, nil where there is none.
    case lost(number: Int, reason: String, successor: Int?)
    /// A path works again.
    case restored(number: Int)
  }

  private let marks: [String]
  private let now: @Sendable () -> Int64
  private let tell: @Sendable (Event) -> Void
  private let state: Mutex<[Path]>
  /// Grows with each change of the active path.
  private let changes = Atomic<Int>(0)

  /// - Parameters:
  ///   - directories: the leg's directory by each path, one at least; the first one is active.
  ///   - marks: the mark file of each path; may be empty.
  ///   - tell: called on the thread that found out; must not block.
  public init(
    directories: [String], marks: [String] = [], now: @escaping @Sendable () -> Int64 = { 0 },
    tell: @escaping @Sendable (Event) -> Void = { _ in }
  ) {
    self.marks = marks
    self.now = now
    self.tell = tell
    let since = now()
    state = Mutex(
      directories.enumerated().map { number, directory in
        Path(number: number, directory: directory, state: number == 0 ? .active : .standby, sinceMilliseconds: since)
      })
  }

  /// How the paths stand.
  public var all: [Path] { state.withLock { $0 } }

  /// The leg's directory by the active path; by the first one where none is.
  public var directory: String {
    state.withLock { paths in (paths.first { $0.state == .active } ?? paths.first)?.directory ?? "" }
  }

  /// Whether a standby path leads to another directory than the active one: else what hangs by one hangs by the other, too.
  public var isThereAnotherDirectory: Bool {
    let directory = directory
    return state.withLock { $0.contains { $0.state == .standby && $0.directory != directory } }
  }

  /// Which switch-over was the last one.
  @inline(__always)
  var epoch: Int { changes.load(ordering: .acquiring) }

  /// The leg's directory by a path that might do what the active one did not.
  var standbyDirectory: String? {
    state.withLock { $0.first { $0.state == .standby && !isCut($0.number) }?.directory }
  }

  // MARK: Losing a path

  /// Has another path carry the leg. True when one does now, also where somebody else saw to it before.
  ///
  /// - Parameter epoch: the one in which the active path failed; nil where it has not been used.
  @discardableResult
  public func switchOver(since epoch: Int? = nil, reason: String) -> Bool {
    let (isDone, event) = state.withLock { paths -> (Bool, Event?) in
      guard let active = paths.firstIndex(where: { $0.state == .active }) else { return (false, nil) }
      if let epoch, epoch != self.epoch { return (true, nil) }
      guard let next = paths.firstIndex(where: { $0.state == .standby && !isCut($0.number) }) else {
        return (false, nil)
      }
      set(&paths[active], .failed(reason: reason))
      set(&paths[next], .active)
      changes.add(1, ordering: .acquiringAndReleasing)
      return (true, .lost(number: active, reason: reason, successor: next))
    }
    if let event { tell(event) }
    return isDone
  }

  /// Takes cut paths out of use. False when no path is left.
  public func lookAtMarks() -> Bool {
    let (isUsable, events) = state.withLock { paths -> (Bool, [Event]) in
      // Looked for here: a mark that was seen earlier may have gone, and its path be in use again.
      let cut = marks.indices.filter(isCut)
      var events: [Event] = []
      for number in cut where paths.indices.contains(number) && !paths[number].state.isFailed {
        let wasActive = paths[number].state == .active
        let reason = reason(of: number)
        set(&paths[number], .failed(reason: reason))
        let next = wasActive ? paths.firstIndex { $0.state == .standby && !cut.contains($0.number) } : nil
        if let next { set(&paths[next], .active) }
        if wasActive { changes.add(1, ordering: .acquiringAndReleasing) }
        let carries = paths.firstIndex { $0.state == .active }
        events.append(.lost(number: number, reason: reason, successor: carries))
      }
      return (paths.contains { $0.state == .active }, events)
    }
    for event in events { tell(event) }
    return isUsable
  }

  // MARK: Return

  /// Looks whether failed paths work again: those that do are standby, or active where none is.
  ///
  /// - Parameter works: tries a path by its directory; may block.
  public func probe(_ works: (_ directory: String) -> Bool) {
    for path in all where path.state.isFailed && !isCut(path.number) && works(path.directory) {
      let isBack = state.withLock { paths -> Bool in
        guard paths[path.number].state == path.state, !isCut(path.number) else { return false }
        let isNeeded = !paths.contains { $0.state == .active }
        set(&paths[path.number], isNeeded ? .active : .standby)
        if isNeeded { changes.add(1, ordering: .acquiringAndReleasing) }
        return true
      }
      if isBack { tell(.restored(number: path.number)) }
    }
  }

  private func set(_ path: inout Path, _ state: State) {
    path.state = state
    path.sinceMilliseconds = now()
  }

  private func isCut(_ number: Int) -> Bool {
    marks.indices.contains(number) && access(marks[number], F_OK) == 0
  }

  /// What the mark says, as far as it is short.
  private func reason(of number: Int) -> String {
    let usual = "it was cut"
    let descriptor = open(marks[number], O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return usual }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 500)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    return text.split(separator: "\n").first.map(String.init) ?? usual
  }
}

extension BlockError {
  /// Whether another path to the same disk may help.
  var mayBeOfPath: Bool { kind == .io && Self.pathErrors.contains(errno) }

  /// The system's error numbers of a path that is gone. A disk that cannot read a block says `EIO`, too: that shows when the
  /// other path is tried.
  public static let pathErrors: Set<Int32> = [EIO, ENODEV, ENXIO, ESTALE, ENOTCONN, EREMOTEIO, ETIMEDOUT, ESHUTDOWN]
}
