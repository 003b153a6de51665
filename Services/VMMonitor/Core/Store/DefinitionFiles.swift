import Glibc
import HostConfiguration
import Logging
import Primitives

/// The definitions as files for people, backups and other tools: `LEG/vm/machines/NAME/domain.xml` on each leg.
///
/// The control state holds the same text in the transaction that defines a virtual machine, so a definition is never
/// half there; the files follow it, also on a leg that comes back. Called by one actor, files change in the order of its
/// calls.
struct DefinitionFiles: Sendable {
  let paths: HostPaths
  let logger: Logger
  private let queue = BlockingQueue("definition files")

  init(_ paths: HostPaths, logger: Logger) {
    self.paths = paths
    self.logger = logger
  }

  private static func file(_ name: VMName, in machines: String) -> String { "\(machines)/\(name)/domain.xml" }

  private func machines(on leg: LegID) -> String { "\(paths.state(.vm, on: leg))/machines" }

  /// Writes a definition durably to some legs.
  func write(
    _ name: VMName, _ definition: String, to legs: [LegID], isolation: isolated (any Actor)? = #isolation
  ) async {
    await queue.run {
      for leg in legs { write(name, definition, to: leg) }
    }
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
    await queue.run {
      for leg in legs { Self.remove(name.rawValue, in: machines(on: leg)) }
    }
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
    await queue.run {
      for (name, definition) in definitions { write(name, definition, to: leg) }
      for name in FileSystem.names(in: machines(on: leg)) {
        guard VMName(rawValue: name).map({ definitions[$0] == nil }) ?? false else { continue }
        Self.remove(name, in: machines(on: leg))
      }
    }
  }
}
