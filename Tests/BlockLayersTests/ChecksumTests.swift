import Testing

@testable import BlockLayers

@Suite struct ChecksumTests {
  /// RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
  static let known: [([UInt8], UInt32)] = [
    ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
    ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
    ([UInt8](0..<32), 0x46DD_794E),
    ((0..<32).reversed().map { UInt8($0) }, 0x113F_DB5C),
    (Array("123456789".utf8), 0xE306_9283),
    ([], 0),
  ]

  @Test(arguments: known)
  func `CRC32C gives the published values both ways`(_ bytes: [UInt8], _ sum: UInt32) {
    bytes.withUnsafeBytes {
      #expect(CRC32C.checksum($0) == sum)
      #expect(CRC32C.checksum($0, by: .instruction) == sum)
      #expect(CRC32C.checksum($0, by: .table) == sum)
    }
  }

  @Test func `both ways give the same for every length and alignment`() {
    var generator = SeededGenerator(seed: 3)
    let bytes = (0..<600).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    bytes.withUnsafeBytes { bytes in
      for start in 0..<9 {
        for end in start..<bytes.count {
          let part = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
          #expect(CRC32C.checksum(part, by: .instruction) == CRC32C.checksum(part, by: .table))
        }
      }
    }
  }
}
