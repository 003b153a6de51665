import Primitives
import VHD

/// What the control state knows of a volume: durable as a whole whenever it changes. Beside it what the volume must hold,
/// which no service knows.
struct ChainRecord: Sendable {
  enum Role: Sendable { case base, differencing, undo }

  struct Layer: Sendable, Equatable {
    /// Names its files and is in its footer.
    var id: Int
    var role: Role
  }

  /// Two layers that become one.
  struct Merge: Sendable {
    var upper: Int
    var lower: Int
    /// Whether the lower one, which holds all that the upper one does, is taking its place.
    var isReplacing = false
  }

  var inStep: [LegID] = [.io0, .io1]
  /// The topmost first.
  var layers: [Layer] = []
  var sectors: Int
  var openForWriting = false
  var legsDiffer = false
  /// Layers whose files are made or removed.
  var loose: [Int] = []
  /// The undo layer that is being committed.
  var commit: Int?
  var merge: Merge?
  var lastID = 0
  /// Grows with every change.
  var version = 0

  /// What the volume may hold.
  var model: VolumeModel
  /// What it held when a snapshot was made of a layer, or an undo layer put on it.
  var frozen: [Int: [UInt64]] = [:]
  /// Snapshots: layers that are kept.
  var snapshots: [Int] = []

  init(sectors: Int) {
    self.sectors = sectors
    model = VolumeModel(sectors: sectors)
  }

  var hasUndo: Bool { layers.first?.role == .undo }

  /// The lowest pair of layers of which the lower one is no snapshot, and the upper one no undo layer.
  var mergeable: Merge? {
    for index in layers.indices.dropFirst().reversed()
    where !snapshots.contains(layers[index].id) && layers[index - 1].role != .undo {
      return Merge(upper: layers[index - 1].id, lower: layers[index].id)
    }
    return nil
  }

  /// For people.
  var summary: String {
    let chain = layers.map { "\($0.role) \($0.id)" }.joined(separator: " > ")
    let job = merge.map { ", merging \($0.upper) into \($0.lower)\($0.isReplacing ? ", replacing" : "")" } ?? ""
    let legs = inStep.map(\.rawValue).joined(separator: " and ") + (legsDiffer ? ", which may differ" : "")
    return """
      Layers \(chain), snapshots \(snapshots)\(job)\(commit.map { ", committing \($0)" } ?? ""), files of \(loose) to be \
      removed; legs \(legs); \(sectors) sectors, \(openForWriting ? "open" : "closed").
      """
  }

  static func identity(of layer: Int) -> VHDIdentity? {
    let bytes = (0..<16).map { $0 < 8 ? UInt8(0x40) : UInt8(truncatingIfNeeded: layer >> (($0 - 8) * 8)) }
    return VHDUUID(bytes: bytes).map { VHDIdentity(uuid: $0, timeStamp: 1) }
  }

  /// The files of a layer: itself, its write-intent record, its checksums.
  static func names(of layer: Int) -> [String] { ["\(layer).vhd", "\(layer).intent", "\(layer).sums"] }
}
