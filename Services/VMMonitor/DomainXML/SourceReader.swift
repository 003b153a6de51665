import Primitives

/// Reads `<source pool='ftvs' volume='NAME'/>`.
enum SourceReader {
  static func volume(_ source: Scan) throws(DomainError) -> VolumeName {
    try source.allow(attributes: ["pool", "volume"])
    _ = try source.required("pool")
    try source.choice("pool", ["ftvs"])
    let text = try source.required("volume")
    guard let name = VolumeName(rawValue: text) else {
      throw source.error(attribute: "volume", "'\(text.prefix(80))' is not allowed. \(VolumeName.rule)")
    }
    return name
  }
}
