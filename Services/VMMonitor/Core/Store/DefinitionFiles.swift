import Glibc
import HostConfiguration
import Logging
import Primitives
import Synchronization

/// The definitions as files for people, backups and other tools: `LEG/vm/machines/NAME/domain.xml` on each leg.
///
/// The control state holds the same text in the transaction that defines a virtual machine, so a definition is never
/// half there; the files follow it, also on a leg that comes back. Called by one actor, the files of a leg change in the
/// order of its calls.
///
/// Beside each stands `.domain.xml.written`, what the monitor wrote last: a file that differs from it was edited by hand,
/// and is not overwritten before somebody decided.
///
/// A leg that hangs is waited for no longer than the bound: what was begun there goes on by itself, and the control state
/// finds out that the leg is lost.
struct DefinitionFiles: Sendable {
  /// What was found in a file that is not as it was written.
  enum Edit: Sendable, Hashable {
    case text(String)
    /// Not UTF-8, or more than a definition may have.
    case unreadable
  }

  let paths: HostPaths
  let bound: Duration
  let logger: Logger
  private let queues: [LegID: BlockingQueue]
  private static let limit = 1 << 20

  init(_ paths: HostPaths, bound: Duration, logger: Logger) {
    self.paths = paths
    self.bound = bound
    self.logger = logger
    queues = Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, BlockingQueue("definition files \($0)")) })
  }

  /// Does something on the thread of each leg, and waits for it. A leg that does not answer in time has no answer.
  @discardableResult private func run<T: Sendable>(
    on legs: [LegID], isolation: isolated (any Actor)?, _ body: @escaping @Sendable (LegID) -> T
  ) async -> [LegID: T] {
    let (ended, source) = AsyncStream<LegID>.makeStream()
    let answers = Answers<T>()
    for leg in legs {
      queues[leg]?.later {
        let answer = body(leg)
        answers.values.withLock { $0[leg] = answer }
        source.yield(leg)
      }
    }
    let logger = logger
    let inTime: Void? = await within(bound) {
      var missing = Set(legs)
      var answers = ended.makeAsyncIterator()
      while !missing.isEmpty, let leg = await answers.next() { missing.remove(leg) }
    }
    if inTime == nil { logger.warning("Definition files are not reached in time: a leg does not answer") }
    return answers.values.withLock { $0 }
  }

  private final class Answers<T: Sendable>: Sendable {
    let values = Mutex<[LegID: T]>([:])
  }

  /// The file of a definition, for people.
  func path(_ name: VMName, on leg: LegID) -> String { Self.file(name, in: machines(on: leg)) }

  private static func file(_ name: VMName, in machines: String) -> String { "\(machines)/\(name)/domain.xml" }

  private static func written(beside file: String) -> String { "\(FileSystem.parent(of: file))/.domain.xml.written" }

  private func machines(on leg: LegID) -> String { "\(paths.state(.vm, on: leg))/machines" }

  // MARK: Writing

  /// What a definition may take the place of. It is decided by the same look at the file that says whether it is to be
  /// written: somebody may be editing it at this moment.
  private enum Place {
    case anything
    /// Of what the monitor wrote, or of nothing.
    case ours
    /// Of that, and of this text.
    case text(String)

    func admits(_ present: [UInt8]?, written: [UInt8]?) -> Bool {
      switch self {
      case .anything: true
      case .ours: present != nil && present == written
      case .text(let text): present == Array(text.utf8) || Place.ours.admits(present, written: written)
      }
    }
  }

  /// Writes a definition durably to some legs, whatever is there.
  func write(
    _ name: VMName, _ definition: String, to legs: [LegID], isolation: isolated (any Actor)? = #isolation
  ) async {
    await run(on: legs, isolation: isolation) { write(name, definition, to: $0, inPlaceOf: .anything) }
  }

  /// Writes a definition durably where these earlier ones still are.
  func write(
    _ name: VMName, _ definition: String, inPlaceOf earlier: [LegID: Edit],
    isolation: isolated (any Actor)? = #isolation
  ) async {
    await run(on: Array(earlier.keys), isolation: isolation) { leg in
      guard case .text(let text)? = earlier[leg] else { return }
      write(name, definition, to: leg, inPlaceOf: .text(text))
    }
  }

  private func write(_ name: VMName, _ definition: String, to leg: LegID, inPlaceOf place: Place) {
    let path = Self.file(name, in: machines(on: leg))
    let bytes = Array(definition.utf8)
    do {
      // Never makes the leg's own directory: one that is missing is a leg that is away.
      guard FileSystem.exists(paths.state(.vm, on: leg)) else { return }
      let written = Self.written(beside: path)
      let present = FileSystem.read(path, limit: Self.limit)
      let note = FileSystem.read(written, limit: Self.limit)
      let (isThere, isNoted) = (present == bytes, note == bytes)
      guard !isThere || !isNoted else { return }
      let isFree = present == nil && !FileSystem.exists(path)
      guard isThere || isFree || place.admits(present, written: note) else { return }
      try FileSystem.makeDirectory(FileSystem.parent(of: path), mode: 0o755)
      // First, so that a file is never one that nobody wrote: cut off here, it is an earlier definition, which is known. So
      // is a later one whose note a power cut took.
      if !isNoted { try FileSystem.replace(written, with: bytes, mode: 0o644, durable: false) }
      if !isThere { try FileSystem.replace(path, with: bytes, mode: 0o644, durable: true) }
      try FileSystem.sync(directory: machines(on: leg))
    } catch {
      logger.warning("A definition could not be written", metadata: ["file": "\(error)", "leg": "\(leg.rawValue)"])
    }
  }

  /// Removes a definition from some legs.
  func remove(_ name: VMName, from legs: [LegID], isolation: isolated (any Actor)? = #isolation) async {
    await run(on: legs, isolation: isolation) { Self.remove(name.rawValue, in: machines(on: $0)) }
  }

  private static func remove(_ name: String, in machines: String) {
    let folder = "\(machines)/\(name)"
    for file in FileSystem.names(in: folder) { unlink("\(folder)/\(file)") }
    rmdir(folder)
    try? FileSystem.sync(directory: machines)
  }

  /// Makes the files of a leg what the records say, and leaves those as they are that `edits` may tell of.
  func reconcile(
    _ definitions: [VMName: String], on leg: LegID, isolation: isolated (any Actor)? = #isolation
  ) async {
    await run(on: [leg], isolation: isolation) { leg in
      for (name, definition) in definitions { write(name, definition, to: leg, inPlaceOf: .ours) }
      for name in FileSystem.names(in: machines(on: leg)) {
        guard VMName(rawValue: name).map({ definitions[$0] == nil }) ?? false else { continue }
        Self.remove(name, in: machines(on: leg))
      }
    }
  }

  // MARK: Edited by hand

  /// What was found on legs.
  struct Edits: Sendable {
    var edits: [VMName: [LegID: Edit]] = [:]
    /// Legs that did not answer in time: nothing is known of them.
    var silent: [LegID] = []
  }

  /// The files that are neither what the records say nor what was written last. One of them may still be an earlier
  /// definition, whose replacement was cut off.
  func edits(
    of definitions: [VMName: String], on legs: [LegID], isolation: isolated (any Actor)? = #isolation
  ) async -> Edits {
    let found = await run(on: legs, isolation: isolation) { leg in
      definitions.compactMap { name, definition in edit(of: name, definition, on: leg).map { (name, $0) } }
    }
    var result = Edits(silent: legs.filter { found[$0] == nil })
    for (leg, list) in found {
      for (name, edit) in list { result.edits[name, default: [:]][leg] = edit }
    }
    return result
  }

  private func edit(of name: VMName, _ definition: String, on leg: LegID) -> Edit? {
    let path = Self.file(name, in: machines(on: leg))
    guard FileSystem.exists(path) else { return nil }
    guard let bytes = FileSystem.read(path, limit: Self.limit) else { return .unreadable }
    guard bytes != Array(definition.utf8),
      bytes != FileSystem.read(Self.written(beside: path), limit: Self.limit)
    else { return nil }
    return String(validating: bytes, as: UTF8.self).map(Edit.text) ?? .unreadable
  }
}
