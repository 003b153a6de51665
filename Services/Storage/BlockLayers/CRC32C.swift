import CLinuxFile

/// The checksum CRC32C: the polynomial of Castagnoli, as iSCSI has it (RFC 3720, appendix B.4).
public enum CRC32C {
  /// How it is computed; all ways give the same.
  enum Method: Sendable { case instruction, table }

  private static let hasInstruction = ftvs_has_crc32c() != 0

  /// The checksum of these bytes.
  public static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    checksum(bytes, by: hasInstruction ? .instruction : .table)
  }

  /// The checksum computed one certain way; the instruction where the processor has it.
  static func checksum(_ bytes: UnsafeRawBufferPointer, by method: Method) -> UInt32 {
    switch method {
    case .instruction where hasInstruction: ~ftvs_crc32c(.max, bytes.baseAddress, bytes.count)
    case .instruction, .table: ~bytes.reduce(UInt32.max) { table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    }
  }

  /// What one byte does to the register, bits reflected.
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { register, _ in register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1 }
  }
}
