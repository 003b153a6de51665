import RPC

/// One measured figure beside its peer's.
struct BenchmarkRow: Sendable {
  /// Such as `rpc.roundTrip.p50`.
  var benchmark: String
  /// Such as `us`, `ms`, `1/s`, `MiB`.
  var unit: String
  var ours: Double
  /// Nil where there is no peer, or it is missing: then `peerName` says which and why.
  var peer: Double?
  var peerName: String
  /// Where ours and the peer's were measured in turns: the median of the turns' ratios, which noise moves less than the ratio of
  /// the medians.
  var medianRatio: Double?
  /// What is to be reached; nil where the figure is only told.
  var goal: Goal?

  enum Goal: Sendable {
    case atMost(Double)
    case atLeast(Double)
    /// Ours divided by the peer's.
    case ratioAtMost(Double)
    case ratioAtLeast(Double)
  }

  init(
    _ benchmark: String, unit: String, ours: Double, peer: Double? = nil, peerName: String = "-", goal: Goal? = nil
  ) {
    self.benchmark = benchmark
    self.unit = unit
    self.ours = ours
    self.peer = peer
    self.peerName = peerName
    self.goal = goal
  }

  /// Whether it depends on what else the machine does.
  var isTime: Bool { ["us", "ms", "s", "%", "1/s"].contains(unit) }

  var ratio: Double? { medianRatio ?? peer.flatMap { $0 > 0 ? ours / $0 : nil } }

  /// Whether the goal is reached; nil where there is none. A ratio without a peer does not hold.
  var holds: Bool? {
    switch goal {
    case nil: nil
    case .atMost(let limit)?: ours <= limit
    case .atLeast(let limit)?: ours >= limit
    case .ratioAtMost(let limit)?: ratio.map { $0 <= limit } ?? false
    case .ratioAtLeast(let limit)?: ratio.map { $0 >= limit } ?? false
    }
  }

  private var goalText: String? {
    switch goal {
    case nil: nil
    case .atMost(let limit)?: "at most \(Self.figure(limit)) \(unit)"
    case .atLeast(let limit)?: "at least \(Self.figure(limit)) \(unit)"
    case .ratioAtMost(let limit)?: "ratio at most \(Self.figure(limit))"
    case .ratioAtLeast(let limit)?: "ratio at least \(Self.figure(limit))"
    }
  }

  /// One line for people.
  var text: String {
    var line = "  " + Self.padded(benchmark, 34) + Self.padded("\(Self.figure(ours)) \(unit)", 14)
    line += Self.padded(peer.map { "\(Self.figure($0)) \(unit) \(peerName)" } ?? peerName, 32)
    line += Self.padded(ratio.map { "x \(Self.figure($0))" } ?? "", 10)
    if let goalText { line += (holds == true ? "holds: " : "DOES NOT HOLD: ") + goalText }
    while line.last == " " { line.removeLast() }
    return line
  }

  /// One object, members as the documentation of the command names them.
  var jsonLine: String {
    let json: JSONValue = [
      "benchmark": .string(benchmark), "unit": .string(unit), "ours": .number(ours),
      "peer": peer.map(JSONValue.number) ?? .null, "peerName": .string(peerName),
      "ratio": ratio.map(JSONValue.number) ?? .null, "goal": goalText.map(JSONValue.string) ?? .null,
      "holds": holds.map(JSONValue.bool) ?? .null,
    ]
    return String(decoding: JSON.bytes(json), as: UTF8.self)
  }

  /// Three digits that count, whatever the size.
  static func figure(_ value: Double) -> String {
    guard value.isFinite else { return "\(value)" }
    let digits = abs(value) >= 100 ? 0 : abs(value) >= 10 ? 1 : 2
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let rounded = (value * scale).rounded() / scale
    return digits == 0 ? "\(Int64(rounded))" : "\(rounded)"
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text.count < width ? text + String(repeating: " ", count: width - text.count) : text + " "
  }
}
