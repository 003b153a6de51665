import BlockLayers
import Glibc
import NBD
import Testing

/// A device that refuses everything for one reason.
final class FailingDevice: BlockDevice {
  let error: BlockError
  let size: Int64 = 1 << 20

  init(_ error: BlockError) { self.error = error }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) { throw error }
  func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64, flags: WriteFlags) throws(BlockError) { throw error }
  func flush() throws(BlockError) { throw error }
  func trim(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) { throw error }
  func writeZeroes(at offset: Int64, count: Int64, flags: WriteFlags) throws(BlockError) { throw error }
  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [Extent] { throw error }
  func close() {}
}

@Suite struct ErrorTests {
  func client(_ error: BlockError, structured: Bool) throws -> WireClient {
    let client = try WireClient(TestServer(["a": NBDExport(device: FailingDevice(error))]))
    try client.go("a", structured: structured)
    return client
  }

  /// Number and text of an error chunk.
  func failure(_ client: WireClient) throws -> (number: UInt64, text: String) {
    let chunk = try #require(client.chunk())
    #expect(chunk.type == 0x8001 && chunk.isLast)
    let length = Int(number(chunk.data[4..<6]))
    #expect(length == chunk.data.count - 6)
    return (number(chunk.data[0..<4]), try #require(String(validating: chunk.data[6...], as: UTF8.self)))
  }

  @Test func `errors of the device carry its words`() throws {
    let client = try client(BlockError(.io, "leg io1"), structured: true)
    for type in [0, 3, 4, 6] as [UInt16] {
      client.request(type, count: type == 3 ? 0 : 512)
      let failure = try failure(client)
      #expect(failure.number == UInt64(EIO) && failure.text.contains("leg io1"))
    }
  }

  @Test func `objections to a request are told in words`() throws {
    let client = try client(BlockError(.io, "unused"), structured: true)
    let wrong: [(UInt16, UInt64, UInt32, Int32, String)] = [
      (0, 1 << 20, 512, EINVAL, "beyond the end"), (0, 0, 0, EINVAL, "no bytes"), (99, 0, 0, EINVAL, "unknown command"),
      (6, 1 << 20, 512, ENOSPC, "beyond the end"), (7, 0, 512, EINVAL, "context"), (0, 0, .max, EINVAL, "longer"),
    ]
    for (type, offset, count, number, words) in wrong {
      client.request(type, offset: offset, count: count)
      let failure = try failure(client)
      #expect(failure.number == UInt64(number) && failure.text.contains(words), "\(type): \(failure)")
    }
  }

  @Test func `a text that is too long ends with a whole character`() throws {
    // Of several scalars, of three, two and four bytes, and not at a multiple of the limit.
    for character in ["👩‍👩‍👧", "€", "é", "🙂", "e\u{301}"] {
      let words = String(repeating: character, count: 4096)
      let client = try client(BlockError(.io, words), structured: true)
      client.request(0, count: 512)
      let text = try failure(client).text
      #expect(text.utf8.count <= 4096 && text.utf8.count > 4096 - character.utf8.count)
      #expect(text == String(BlockError(.io, words).description.prefix(text.count)))
    }
  }

  @Test func `what is not supported is told as such only of fast zeroes`() throws {
    let client = try client(BlockError(.notSupported, "slow"), structured: false)
    for (type, flags, error) in [(UInt16(6), UInt16(16), EOPNOTSUPP), (6, 0, EINVAL), (4, 0, EINVAL), (3, 0, EINVAL)] {
      client.request(type, flags: flags, count: type == 3 ? 0 : 512)
      #expect(try #require(client.simpleReply()).error == UInt32(error), "request \(type)")
    }
  }

  @Test func `too much in one piece is an overflow only where the answer must not be fragmented`() throws {
    let client = try client(BlockError(.io, "unused"), structured: true)
    client.request(0, flags: 4, count: .max)
    #expect(try failure(client).number == UInt64(EOVERFLOW))
    client.request(0, count: .max)
    #expect(try failure(client).number == UInt64(EINVAL))
  }

  @Test func `names that the protocol has no room for are not listed, descriptions are cut`() throws {
    let long = String(repeating: "é", count: 2049)
    let export = NBDExport(device: MemoryDevice(size: 4096), description: long)
    let client = try WireClient(TestServer(["a": export, long: export]))
    try client.greet()
    client.option(3)
    let entry = try #require(client.optionReply())
    #expect(entry.data == big(UInt32(1)) + Array("a".utf8) + Array(String(repeating: "é", count: 2048).utf8))
    #expect(try client.finalReply() == 1)
  }
}
