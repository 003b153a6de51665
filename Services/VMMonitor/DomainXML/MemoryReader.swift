import Primitives

/// Reads `<memory>` and `<currentMemory>`.
enum MemoryReader {
  static func read(_ domain: Scan) throws(DomainError) -> Domain.Memory {
    guard let element = try domain.child("memory") else { throw domain.error("<memory> is missing") }
    let memory = try size(element)
    guard DomainReader.Limits.memoryBytes.contains(memory) else {
      throw element.error("memory must be from 1 MiB to 4 TiB")
    }
    guard let current = try domain.child("currentMemory") else { return .init(bytes: memory) }
    let size = try size(current)
    guard size <= memory else { throw current.error("is more than <memory>") }
    return .init(bytes: memory, currentBytes: size == memory ? nil : size)
  }

  /// Bytes, rounded up to KiB as libvirt does. The unit is KiB when left out.
  private static func size(_ element: Scan) throws(DomainError) -> Int64 {
    try element.allow(attributes: ["unit"], text: true)
    let units: [String: Int64] = [
      "b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 1_000_000, "M": 1 << 20, "MiB": 1 << 20,
      "GB": 1_000_000_000, "G": 1 << 30, "GiB": 1 << 30, "TB": 1_000_000_000_000, "T": 1 << 40, "TiB": 1 << 40,
    ]
    let unit = element.attribute("unit") ?? "KiB"
    guard let factor = units[unit] else {
      throw element.error(attribute: "unit", "'\(unit.prefix(20))' is not a unit; write KiB, MiB or GiB")
    }
    let number = try element.number(in: 1...Int64.max / 2)
    let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
    guard !overflow, bytes <= Int64.max / 2 else { throw element.error("is more than a host can have") }
    return (bytes + 1023) / 1024 * 1024
  }
}
