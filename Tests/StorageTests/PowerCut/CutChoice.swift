import BlockLayers
import Primitives

/// Which one of the states that a power cut may leave. A value: whoever uses a copy gets the same state.
struct CutChoice {
  enum Kind {
    /// Nothing of what was not synced.
    case nothing
    case everything
    /// All operations before a moment, and none after it.
    case before(Int)
    /// All operations before a moment, and pieces of the one at that moment.
    case torn(Int)
    /// All pieces but one.
    case without(Int)
    /// One piece alone.
    case only(Int)
    /// Each piece with a probability of its leg's.
    case mixed([LegID: Double])
  }

  let kind: Kind
  /// Whether names change on disk in the order in which they were changed.
  let areNamesOrdered: Bool
  private var generator: SeededGenerator
  private var pieces = 0

  init(_ kind: Kind, areNamesOrdered: Bool = true, seed: UInt64) {
    self.kind = kind
    self.areNamesOrdered = areNamesOrdered
    generator = SeededGenerator(seed: seed)
  }

  /// One of the choices that there are for what is pending.
  static func random(of pending: SimulatedDisks.Pending, using generator: inout SeededGenerator) -> CutChoice {
    let kind: Kind
    switch Int.random(in: 0..<12, using: &generator) {
    case 0: kind = .nothing
    case 1: kind = .everything
    case 2, 3: kind = pending.moments.randomElement(using: &generator).map { .before($0) } ?? .nothing
    case 4, 5: kind = pending.moments.randomElement(using: &generator).map { .torn($0) } ?? .nothing
    case 6: kind = pending.pieces > 0 ? .without(.random(in: 0..<pending.pieces, using: &generator)) : .nothing
    case 7: kind = pending.pieces > 0 ? .only(.random(in: 0..<pending.pieces, using: &generator)) : .nothing
    default:
      let shares = [0.0, 0.1, 0.5, 0.9, 1.0]
      kind = .mixed([
        .io0: shares.randomElement(using: &generator) ?? 0.5, .io1: shares.randomElement(using: &generator) ?? 0.5,
      ])
    }
    return CutChoice(kind, areNamesOrdered: .random(using: &generator), seed: generator.next())
  }

  /// Whether the next piece of all that is pending got to the disk.
  mutating func happens(_ moment: Int, on leg: LegID) -> Bool {
    defer { pieces += 1 }
    switch kind {
    case .nothing: return false
    case .everything: return true
    case .before(let end): return moment < end
    case .torn(let end): return moment < end || (moment == end && Bool.random(using: &generator))
    case .without(let piece): return pieces != piece
    case .only(let piece): return pieces == piece
    case .mixed(let shares): return Double.random(in: 0..<1, using: &generator) < shares[leg] ?? 0.5
    }
  }

  /// How far a file grew on disk that was growing.
  mutating func length(from old: Int, to new: Int) -> Int {
    switch kind {
    case .torn, .mixed: break
    default: return new
    }
    guard new > old, Int.random(in: 0..<3, using: &generator) == 0 else { return new }
    return old + Int.random(in: 0...(new - old) / DiskImage.sector, using: &generator) * DiskImage.sector
  }
}

extension SimulatedDisks {
  /// How much is not synced, and the operations that it is of.
  struct Pending {
    var pieces: Int
    var moments: [Int]
  }

  var pending: Pending {
    var (pieces, moments): (Int, Set<Int>) = (0, [])
    for leg in LegID.allCases {
      for node in nodes(on: leg) {
        pieces += node.changes.count + node.resizings.count
        for change in node.changes { moments.insert(change.moment) }
        for resizing in node.resizings { moments.insert(resizing.moment) }
      }
      for (moment, _) in directories[leg]?.changes ?? [] {
        pieces += 1
        moments.insert(moment)
      }
    }
    return Pending(pieces: pieces, moments: moments.sorted())
  }

  /// The files of a leg that may be there after a cut, in the order in which they were made.
  func nodes(on leg: LegID) -> [Node] {
    guard let directory = directories[leg] else { return [] }
    var found: [Int: Node] = [:]
    for node in directory.names.values { found[node.number] = node }
    for node in directory.durable.values { found[node.number] = node }
    for (_, naming) in directory.changes { if case .link(_, let node) = naming { found[node.number] = node } }
    return found.values.sorted { $0.number < $1.number }
  }

  /// Disks that hold what these may hold when the power fails now.
  func state(_ choice: CutChoice, isRecording: Bool) -> SimulatedDisks {
    var choice = choice
    let disks = SimulatedDisks(pool: pool, isRecording: isRecording)
    for leg in LegID.allCases { disks.directories[leg] = directory(of: leg, for: disks, &choice) }
    return disks
  }

  /// What a leg may hold, as a directory of `disks`.
  func directory(of leg: LegID, for disks: SimulatedDisks, _ choice: inout CutChoice) -> Directory {
    var nodes: [Int: Node] = [:]
    for node in self.nodes(on: leg) { nodes[node.number] = copy(node, for: disks, &choice) }
    var directory = Directory()
    for (name, node) in names(on: leg, &choice) { directory.names[name] = nodes[node.number] }
    directory.durable = directory.names
    return directory
  }

  private func names(on leg: LegID, _ choice: inout CutChoice) -> [String: Node] {
    guard let directory = directories[leg] else { return [:] }
    var names = directory.durable
    var isOver = false
    for (moment, naming) in directory.changes {
      let happens = choice.happens(moment, on: leg)
      if choice.areNamesOrdered, !happens { isOver = true }
      if happens, !isOver { naming.apply(to: &names) }
    }
    return names
  }

  private func copy(_ node: Node, for disks: SimulatedDisks, _ choice: inout CutChoice) -> Node {
    let copy = disks.makeNode(node.leg)
    let image = copy.current
    image.copy(node.durable ?? node.current)
    for resizing in node.resizings where choice.happens(resizing.moment, on: node.leg) {
      image.resize(choice.length(from: image.size, to: resizing.size))
    }
    node.kept.withUnsafeBytes { kept in
      for change in node.changes where choice.happens(change.moment, on: node.leg) {
        let data = change.data.flatMap { data in kept.baseAddress.map { $0 + data } }
        image.set(change.sector, data, change.hash)
      }
    }
    copy.durable?.copy(image)
    return copy
  }

  /// A number that is another one for every other content or name of a file.
  var hash: UInt64 {
    var hash: UInt64 = 0
    for leg in LegID.allCases {
      for (name, node) in directories[leg]?.names ?? [:] {
        let title = name.utf8.reduce(UInt64(leg == .io0 ? 1 : 2)) { $0 &* 1_099_511_628_211 ^ UInt64($1) }
        hash ^= DiskImage.mixed(node.current.hash ^ UInt64(node.current.size), title)
      }
    }
    return hash
  }
}
