/// Sorted samples.
struct Samples: Sendable {
  private let sorted: [Double]

  init(_ values: some Sequence<Double>) { sorted = values.sorted() }

  var count: Int { sorted.count }
  var longest: Double { sorted.last ?? 0 }

  /// The value that a share of the samples does not exceed: nearest rank. 0 without samples.
  func percentile(_ share: Double) -> Double {
    guard !sorted.isEmpty else { return 0 }
    let rank = Int((share * Double(sorted.count)).rounded(.up)) - 1
    return sorted[max(0, min(rank, sorted.count - 1))]
  }

  var median: Double { percentile(0.5) }
}
