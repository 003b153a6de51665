import Glibc
import HostConfiguration
import Logging
import Primitives

/// The definitions as files for people, backups and other tools: `LEG/vm/machines/NAME/domain.xml` on each leg.
///
/// The control state holds the same text in the transaction that defines a virtual machine, so a definition is never
/// half there; the files follow it, also on a leg that comes back. Called by one actor, the files of a leg change in the
/// order of its calls.
///
/// A leg that hangs is waited for no longer than the bound: what was begun there goes on by itself, and the control state
/// finds out that the leg is lost.
struct DefinitionFiles: Sendable {
  let paths: HostPaths
  let bound: Duration
  let logger: Logger
  private let queues: [LegID: BlockingQueue]

  init(_ paths: HostPaths, bound: Duration, logger: Logger) {
    self.paths = paths
    self.bound = bound
    self.logger = logger
    queues = Dictionary(uniqueKeysWithValues: LegID.allCases.map { ($0, BlockingQueue("definition files \($0)")) })
  }

  /// Does something on the thread of each leg, and waits for it.
  private func run(
    on legs: [LegID], isolation: isolated (any Actor)?, _ body: @escaping @Sendable (LegID) -> Void
  ) async {
    let (ended, source) = AsyncStream<LegID>.makeStream()
    for leg in legs {
      queues[leg]?.later {
        body(leg)
        source.yield(leg)
      }
    }
    let logger = logger
    let inTime: Void? = await within(bound) {
      var missing = Set(legs)
      var answers = ended.makeAsyncIterator()
      while !missing.isEmpty, let leg = await answers.next() { missing.remove(leg) }
    }
    if inTime == nil { logger.warning("Definition files are not written in time: a leg does not answer") }
  }

  private static func file(_ name: VMName, in machines: String) -> String { "\(machines)/\(name)/domain.xml" }

  private func machines(on leg: LegID) -> String { "\(paths.state(.vm, on: leg))/machines" }

  /// Writes a definition durably to some legs.
  func write(
    _ name: VMName, _ definition: String, to legs: [LegID], isolation: isolated (any Actor)? = #isolation
  ) async {
    await run(on: legs, isolation: isolation) { write(name, definition, to: $0) }
  }

  private func write(_ name: VMName, _ definition: String, to leg: LegID) {
    let path = Self.file(name, in: machines(on: leg))
    let bytes = Array(definition.utf8)
    guard FileSystem.read(path, limit: 1 << 21) != bytes else { return }
    do {
      // Never makes the leg's own directory: one that is missing is a leg that is away.
      guard FileSystem.exists(paths.state(.vm, on: leg)) else { return }
      try FileSystem.makeDirectory(FileSystem.parent(of: path), mode: 0o755)
      try FileSystem.replace(path, with: bytes, mode: 0o644, durable: true)
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

  /// Makes the files of a leg what the records say.
  func reconcile(
    _ definitions: [VMName: String], on leg: LegID, isolation: isolated (any Actor)? = #isolation
  ) async {
    await run(on: [leg], isolation: isolation) { leg in
      for (name, definition) in definitions { write(name, definition, to: leg) }
      for name in FileSystem.names(in: machines(on: leg)) {
        guard VMName(rawValue: name).map({ definitions[$0] == nil }) ?? false else { continue }
        Self.remove(name, in: machines(on: leg))
      }
    }
  }
}
