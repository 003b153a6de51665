import BlockLayers
import Glibc

extension MetadataLog {
  /// What a log of an earlier process tells of a layer.
  public struct Found: Sendable {
    public var layer: VHDUUID
    public var records: [Record]
  }

  /// Reads the log that an earlier process left. It may have been killed at any moment.
  ///
  /// - Parameter boot: as when it was made.
  /// - Returns: nil where there is none, or where it says nothing: it was just being made, or is of another start of the
  ///   machine.
  /// - Throws: `io` when it cannot be read.
  public static func read(path: String, boot: String) throws(BlockError) -> Found? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      throw BlockError.system(errno, "cannot open \(path)")
    }
    defer { close(descriptor) }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 4096)
    defer { memory.deallocate() }
    let count = try read(descriptor, into: memory, path)
    guard count >= headerLength, memory.starts(with: magic) else { return nil }
    let expected = [UInt8(boot.utf8.prefix(255).count)] + boot.utf8.prefix(255)
    let header = memory[magic.count..<headerLength]
    guard header.starts(with: expected),
      let layer = VHDUUID(bytes: header.dropFirst(expected.count).prefix(16))
    else { return nil }
    var records: [Record] = []
    for at in stride(from: headerLength, to: count - count % 8, by: 8) {
      if let record = Record(word: memory.load(fromByteOffset: at, as: UInt64.self)) { records.append(record) }
    }
    return Found(layer: layer, records: records)
  }

  private static func read(
    _ descriptor: Int32, into memory: UnsafeMutableRawBufferPointer, _ path: String
  ) throws(BlockError) -> Int {
    var done = 0
    while done < memory.count {
      let count = Glibc.read(descriptor, memory.baseAddress.map { $0 + done }, memory.count - done)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw BlockError.system(errno, "cannot read \(path)") }
      if count == 0 { break }
      done += count
    }
    return done
  }
}
