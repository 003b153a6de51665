import BlockLayers
import Crypto

/// The SHA-256 (FIPS 180-4) of what a device holds as it is read, zeros included.
enum ContentSum {
  private static let pieceBytes = 1 << 20

  /// In hexadecimal, 64 digits. Nil when it was ended. Blocks.
  ///
  /// - Parameter goOn: told how many bytes were read; false ends it.
  static func sha256(of device: any BlockDevice, goOn: (Int64) -> Bool) throws(BlockError) -> String? {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 4096)
    defer { buffer.deallocate() }
    var hash = SHA256()
    var done: Int64 = 0
    while done < device.size {
      let count = Int(min(Int64(pieceBytes), device.size - done))
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      try device.read(into: piece, at: done)
      hash.update(bufferPointer: UnsafeRawBufferPointer(piece))
      done += Int64(count)
      guard goOn(done) else { return nil }
    }
    return hexadecimal(hash.finalize())
  }

  private static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
