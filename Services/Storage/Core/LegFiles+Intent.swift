import BlockLayers
import Glibc
import Primitives

/// The companions of layers: `LAYER.intent`, the write-intent record.
extension LegFiles {
  /// The companion of a layer's file.
  static func intent(of path: String) -> String {
    (path.hasSuffix(".vhd") ? String(path.dropLast(4)) : path) + ".intent"
  }

  /// The record of a layer on a leg, made where there is none. One that cannot be used is none: then nothing is known.
  ///
  /// - Parameter isNew: whether the layer's file was just made. A record that outlived its file says nothing about that.
  func openIntent(of relative: String, on leg: LegID, isNew: Bool) -> IntentFile? {
    let name = path(Self.intent(of: relative), on: leg)
    if isNew { unlink(name) }
    do throws(BlockError) {
      return IntentFile(try PosixFile(path: name, mode: .readWrite))
    } catch {
      guard error.kind == .notFound, let file = try? PosixFile(path: name, mode: .create) else { return nil }
      return IntentFile(file)
    }
  }
}
