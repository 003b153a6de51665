import Primitives
import RPC

/// What is remembered outside the legs: which generation was last in service, and on which legs.
///
/// Written after a change of membership is durable on the surviving leg and before the first answer that the other leg
/// misses. It tells a leg that says "both" whether the other went on without it.
struct Witness: Sendable, Hashable {
  var host: String
  var service: String
  var generation: GenerationID
  var members: Set<LegID>
  var timeMilliseconds: Int64

  private static let sizeLimit = 65_536

  /// Reads it; nil when there is none, or none that can be understood (which says as little as none).
  static func read(_ path: String) -> Witness? {
    guard let bytes = try? FileOperations.read(path, limit: sizeLimit), let json = try? JSON.parse(bytes),
      let host = json["host"]?.string, let service = json["service"]?.string,
      let generation = json["generation"]?.string.flatMap(GenerationID.init(rawValue:)),
      let legs = json["members"]?.array, let time = json["timeMilliseconds"]?.integer
    else { return nil }
    return Witness(
      host: host, service: service, generation: generation,
      members: Set(legs.compactMap { $0.string.flatMap(LegID.init(rawValue:)) }), timeMilliseconds: time)
  }

  /// Writes it durably.
  func write(_ path: String) throws(FileError) {
    let json: JSONValue = [
      "host": .string(host), "service": .string(service), "generation": .string(generation.rawValue),
      "members": .array(members.map(\.rawValue).sorted().map(JSONValue.string)),
      "timeMilliseconds": .integer(timeMilliseconds),
    ]
    try FileOperations.replace(path, with: JSON.bytes(json))
  }
}
