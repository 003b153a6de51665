import Foundation
import RPC

/// What a run on an installed host found, on its way out of the sandbox.
struct Measurements: Codable, Sendable {
  /// Samples by name, in milliseconds unless the name says otherwise.
  var samples: [String: [Double]] = [:]
  /// Counts by name.
  var counts: [String: Int] = [:]
  /// What must not be, in sentences.
  var problems: [String] = []

  mutating func count(_ name: String, _ number: Int) { counts[name, default: 0] += number }

  func write(to path: String) throws { try JSONEncoder().encode(self).write(to: URL(fileURLWithPath: path)) }

  static func read(from path: String) throws -> Measurements {
    try JSONDecoder().decode(Measurements.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
  }

  subscript(_ name: String) -> Samples { Samples(samples[name] ?? []) }
}
