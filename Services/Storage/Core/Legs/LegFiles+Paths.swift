import AlertAPI
import BlockLayers
import Glibc
import Primitives
import RPC
import StorageAPI

/// The paths by which the legs are reached.
extension LegFiles {
  /// Looks whether failed paths work again. Blocks, for no longer than the bound for each.
  func probePaths() {
    for (leg, paths) in paths {
      paths.probe { directory in
        let isThere = try? calls.run(on: leg, orElse: BlockError(.io, directory)) { () throws(BlockError) in
          Self.works(directory)
        }
        return isThere ?? false
      }
    }
  }

  /// Whether a directory can be read, and synced.
  private static func works(_ directory: String) -> Bool {
    let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return fsync(descriptor) == 0
  }

  /// Has a leg reached by its other path after a call that failed. False where there is none, or the error is of
  /// another kind.
  func takeOtherPath(after error: LegFileError) -> Bool {
    // What hangs may still be done later, in the middle of what follows.
    guard error.code != ETIMEDOUT, BlockError.pathErrors.contains(error.code), let paths = paths[error.leg] else {
      return false
    }
    return paths.switchOver(reason: error.description)
  }

  func status(ofPathsTo leg: LegID) -> [StoragePath] {
    (paths[leg]?.all ?? []).map { path in
      var reason: String?
      let state: StoragePathState
      switch path.state {
      case .active: state = .active
      case .standby: state = .standby
      case .failed(let why): (state, reason) = (.failed, why)
      }
      return StoragePath(
        path: path.number, state: state, reason: reason, sinceMilliseconds: path.sinceMilliseconds,
        directory: path.directory)
    }
  }
}

extension StorageEnvironment {
  /// The paths to each leg; their loss and return are published.
  var paths: [LegID: LegPaths] {
    Dictionary(
      uniqueKeysWithValues: legDirectories.map { leg, directory in
        let directories = [directory, secondDirectories[leg] ?? directory]
        let paths = LegPaths(directories: directories, marks: pathMarks[leg] ?? [], now: now) { event in
          publish(event, of: leg, directories)
        }
        return (leg, paths)
      })
  }

  private func publish(_ event: LegPaths.Event, of leg: LegID, _ directories: [String]) {
    switch event {
    case .lost(let number, let reason, let successor):
      let consequence =
        successor.map { "The leg is reached by path \($0), which is the only one: its loss would be that of the leg." }
        ?? "No other path is left: the leg is lost."
      publish(
        successor == nil ? .error : .warning, StorageAlert.pathLost.rawValue, leg.rawValue,
        "Path \(number) to leg \(leg) was lost (\(reason)). \(consequence) Look at the controller of that path.",
        [
          "path": .integer(Int64(number)), "reason": .string(reason), "directory": .string(directories[number]),
          "activePath": successor.map { .integer(Int64($0)) } ?? .null,
        ])
    case .restored(let number):
      publish(
        .info, StorageAlert.pathRestored.rawValue, leg.rawValue, "Path \(number) to leg \(leg) works again.",
        ["path": .integer(Int64(number)), "directory": .string(directories[number])])
    }
  }
}
