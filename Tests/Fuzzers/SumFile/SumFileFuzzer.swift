@testable import BlockLayers
import FuzzSupport

/// Checksum files as they lie on a leg. With an odd first byte the sums of each page are set right.
@main enum SumFileFuzzer: Fuzzer {
  static func seeds() throws -> [[UInt8]] {
    let file = MemoryFile()
    let sums = SumFile(file)
    try sums.write(SumFile.Page(coveredBytes: 4 << 20, sums: (0..<1024).map { UInt32($0) }), of: 0)
    let full = file.bytes
    try sums.write(SumFile.Page(coveredBytes: 5000, sums: [1, 2]), of: 1)
    return [[1] + full, [1] + file.bytes, [0] + full, [0] + file.bytes.dropLast(100)]
  }

  static func test(_ input: [UInt8]) throws {
    guard let first = input.first else { return }
    var bytes = Array(input.dropFirst())
    if first & 1 == 1 { fixSums(&bytes) }
    let file = SumFile(MemoryFile(bytes))
    let end = file.end()
    for extent in 0..<min(end + 1, 4) {
      guard let page = file.page(of: extent) else { continue }
      require(page.coveredBytes <= Int(IntentRecord.extentBytes), "a page covers no more than its extent")
      require(page.sums.count == (page.coveredBytes + SumFile.blockBytes - 1) / SumFile.blockBytes, "one sum a block")
      try file.write(page, of: extent)
      require(file.page(of: extent) == page, "a page that was written is read as the same")
    }
    var void = ExtentSet()
    void.insert(Int(first))
    void.insert(0)
    try file.void(void)
    require(file.page(of: 0) == nil && file.page(of: Int(first)) == nil, "void pages count for nothing")
    try file.void(nil)
    require(file.end() == 0, "nothing is left")
  }

  private static func fixSums(_ bytes: inout [UInt8]) {
    for page in 0..<bytes.count / SumFile.pageBytes {
      let start = page * SumFile.pageBytes
      for (field, covered) in [(20, 512..<SumFile.pageBytes), (508, 0..<508)] {
        let sum = bytes.withUnsafeBytes {
          CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[start + covered.lowerBound..<start + covered.upperBound]))
        }
        bytes.replaceSubrange(start + field..<start + field + 4, with: big(sum.byteSwapped))
      }
    }
  }
}
