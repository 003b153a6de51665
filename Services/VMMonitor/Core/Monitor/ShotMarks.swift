import HostConfiguration
import Primitives

/// The marks that keep modules dead, as the hardware supervisor sets them.
struct ShotMarks: Sendable {
  private let paths: HostPaths
  private let queue = BlockingQueue("shot marks")

  init(_ paths: HostPaths) { self.paths = paths }

  func exist(_ module: ModuleID) async -> Bool {
    await queue.run { [path = paths.shotMark(module)] in FileSystem.exists(path) }
  }
}
