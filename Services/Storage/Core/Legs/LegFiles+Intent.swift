import BlockLayers
import Glibc
import Primitives

/// The companions of layers: `LAYER.intent`, the write-intent record, and `LAYER.sums`, the checksums.
extension LegFiles {
  /// Where the record of a layer's file is.
  static func intent(of path: String) -> String { stem(of: path) + ".intent" }

  /// Where the checksums of a layer's file are.
  static func sums(of path: String) -> String { stem(of: path) + ".sums" }

  /// All that belongs to a layer's file, beside itself.
  static func companions(of path: String) -> [String] { [intent(of: path), sums(of: path)] }

  private static func stem(of path: String) -> String {
    path.hasSuffix(".vhd") ? String(path.dropLast(4)) : path
  }

  /// The layer's file that a companion belongs to, by name; nil when this is none.
  static func layer(ofCompanion name: String) -> String? {
    for suffix in [".intent", ".sums"] where name.hasSuffix(suffix) { return "\(name.dropLast(suffix.count)).vhd" }
    return nil
  }

  /// The record of a layer on a leg, made where there is none. One that cannot be used is none: then nothing is known.
  ///
  /// - Parameter isNew: whether the layer's file was just made. A record that outlived its file says nothing about that.
  func openIntent(of relative: String, on leg: LegID, isNew: Bool) -> IntentFile? {
    companion(Self.intent(of: relative), on: leg, isNew: isNew).map { IntentFile($0) }
  }

  /// The checksums of a layer on a leg, as with its record.
  func openSums(of relative: String, on leg: LegID, isNew: Bool) -> SumFile? {
    companion(Self.sums(of: relative), on: leg, isNew: isNew).map { SumFile($0) }
  }

  private func companion(_ relative: String, on leg: LegID, isNew: Bool) -> (any ByteFile)? {
    if isNew { unlink(path(relative, on: leg)) }
    do throws(BlockError) {
      return try open(relative, on: leg, .readWrite)
    } catch {
      return error.kind == .notFound ? try? open(relative, on: leg, .create) : nil
    }
  }
}
