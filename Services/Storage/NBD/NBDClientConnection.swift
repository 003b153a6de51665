import BlockLayers
import Glibc

/// The client's side of one connection (NBD protocol, fixed newstyle negotiation with structured replies).
///
/// Not safe to be used by two threads at once; that is `NBDClient`'s affair.
final class NBDClientConnection {
  /// What client and server agreed on.
  struct Agreement {
    var size: UInt64 = 0
    var features: UInt16 = 0
    var contexts: [String: UInt32] = [:]
  }

  /// Time that the server may take for anything, in seconds.
  private static let patience = 30
  /// Most answers to one option, and most chunks of one answer beside those of data.
  private static let answers = 64
  /// Most bytes of an answer to an option, and of an error's text or a status: more than any server sends.
  private static let answerLimit = 1 << 20

  private var descriptor: Int32
  private var cookie: UInt64 = 0

  init(socketPath: String) throws(BlockError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(socketPath.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path), !bytes.isEmpty else {
      throw BlockError(.misuse, "\(socketPath) is too long for the path of a socket")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .system(errno, "socket") }
    var patience = timeval(tv_sec: Self.patience, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
    }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard connected == 0 else {
      let code = errno
      leave()
      throw .system(code, "connect to \(socketPath)")
    }
  }

  deinit { leave() }

  var hasEnded: Bool { descriptor < 0 }

  /// Ends the connection, with a word to the server where that can be said.
  func leave() {
    guard descriptor >= 0 else { return }
    try? request(.disconnect, offset: 0, count: 0)
    end()
  }

  private func end() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  // MARK: Negotiation

  func negotiate(export: String, contexts: [String]) throws(BlockError) -> Agreement {
    let greeting = try receive(18)
    guard Self.number(greeting[0..<8]) == NBD.greeting, Self.number(greeting[8..<16]) == NBD.optionMagic else {
      throw breach("no greeting of a newstyle server")
    }
    let flags = UInt16(truncatingIfNeeded: Self.number(greeting[16..<18]))
    guard flags & NBD.Handshake.fixedNewstyle != 0 else { throw breach("the server is not a fixed newstyle one") }
    try send(Self.big(UInt32(flags & (NBD.Handshake.fixedNewstyle | NBD.Handshake.noZeroes))))
    var agreement = Agreement()
    try option(.structuredReply)
    let isStructured = try optionReply().type == NBD.OptionReply.acknowledge
    if isStructured { agreement.contexts = try agree(on: contexts, export) }
    try option(.go, Self.text(export) + Self.big(UInt16(0)))
    for _ in 0..<Self.answers {
      let (type, data) = try optionReply()
      switch type {
      case NBD.OptionReply.acknowledge:
        guard agreement.features & NBD.Export.hasFlags != 0 else { throw breach("an export without its size") }
        return agreement
      case NBD.OptionReply.info where data.count == 12 && Self.number(data[0..<2]) == UInt64(NBD.Info.export.rawValue):
        agreement.size = Self.number(data[2..<10])
        agreement.features = UInt16(truncatingIfNeeded: Self.number(data[10..<12]))
      case NBD.OptionReply.info: break
      default:
        throw BlockError(.notFound, "the server refuses export \(export): \(Self.words(of: data, or: type))")
      }
    }
    throw breach("answers without end")
  }

  private func agree(on names: [String], _ export: String) throws(BlockError) -> [String: UInt32] {
    var data = Self.text(export) + Self.big(UInt32(names.count))
    for name in names { data += Self.text(name) }
    try option(.setMetaContext, data)
    var agreed: [String: UInt32] = [:]
    for _ in 0..<Self.answers {
      let (type, data) = try optionReply()
      switch type {
      case NBD.OptionReply.metaContext where data.count >= 4:
        let name = String(decoding: data[4...], as: UTF8.self)
        guard names.contains(name) else { throw breach("a context that nobody asked for") }
        agreed[name] = UInt32(truncatingIfNeeded: Self.number(data[0..<4]))
      // An export that is refused is refused once more, with a reason, when it is opened.
      default: return type == NBD.OptionReply.acknowledge ? agreed : [:]
      }
    }
    throw breach("answers without end")
  }

  private func option(_ option: NBD.Option, _ data: [UInt8] = []) throws(BlockError) {
    try send(Self.big(NBD.optionMagic) + Self.big(option.rawValue) + Self.big(UInt32(data.count)) + data)
  }

  private func optionReply() throws(BlockError) -> (type: UInt32, data: [UInt8]) {
    let header = try receive(20)
    let length = Self.number(header[16..<20])
    guard Self.number(header[0..<8]) == NBD.optionReplyMagic, length <= Self.answerLimit else {
      throw breach("no answer to an option")
    }
    return (UInt32(truncatingIfNeeded: Self.number(header[12..<16])), try receive(Int(length)))
  }

  // MARK: Requests

  /// - Parameter count: at most what fits into 32 bits.
  func request(
    _ command: NBD.Command, flags: UInt16 = 0, offset: Int64, count: Int64,
    payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) throws(BlockError) {
    cookie &+= 1
    let header =
      Self.big(NBD.requestMagic) + Self.big(flags) + Self.big(command.rawValue) + Self.big(cookie)
      + Self.big(UInt64(bitPattern: offset)) + Self.big(UInt32(clamping: count))
    try send(header)
    try sendAll(payload)
  }

  /// The answer to a read. What is missing in it is a breach.
  func receiveData(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(BlockError) {
    var received = 0
    var ranges: [Range<Int64>] = []
    try receiveChunks { kind, length throws(BlockError) in
      guard kind == NBD.Chunk.offsetData || kind == NBD.Chunk.offsetHole else { return false }
      guard length >= 8 else { throw breach("a chunk of data without its offset") }
      let at = Int64(bitPattern: Self.number(try receive(8)[...])) &- offset
      let isHole = kind == NBD.Chunk.offsetHole
      let count = isHole ? (length == 12 ? Int(Self.number(try receive(4)[...])) : -1) : length - 8
      guard at >= 0, count > 0, count <= buffer.count, at <= Int64(buffer.count - count) else {
        throw breach("data that was not asked for")
      }
      let range = at..<at + Int64(count)
      guard ranges.count <= buffer.count / 512, !ranges.contains(where: { $0.overlaps(range) }) else {
        throw breach("the same data twice")
      }
      // What follows the last piece, as it mostly does, makes it longer.
      if let last = ranges.last, last.upperBound == at {
        ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
      } else {
        ranges.append(range)
      }
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[Int(at)..<Int(at) + count])
      if isHole { part.initializeMemory(as: UInt8.self, repeating: 0) } else { try receiveAll(part) }
      received += count
      return true
    } simple: { () throws(BlockError) in
      try receiveAll(buffer)
      received = buffer.count
    }
    guard received == buffer.count else { throw breach("data is missing in an answer") }
  }

  /// The answer to a request that has none but success or failure.
  func receiveDone() throws(BlockError) {
    try receiveChunks { _, _ throws(BlockError) in false }
  }

  /// The answer to a question for block status.
  func receiveStatus(of context: UInt32, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    var extents: [NBDContextExtent] = []
    var chunks = 0
    try receiveChunks { kind, length throws(BlockError) in
      guard kind == NBD.Chunk.blockStatus else { return false }
      chunks += 1
      guard length >= 12, length % 8 == 4, length <= Self.answerLimit, chunks <= Self.answers else {
        throw breach("a status of \(length) bytes")
      }
      let data = try receive(length)
      guard UInt32(truncatingIfNeeded: Self.number(data[0..<4])) == context else { return true }
      guard extents.isEmpty else { throw breach("the same status twice") }
      var left = count
      for start in stride(from: 4, to: length, by: 8) where left > 0 {
        let bytes = min(Int64(Self.number(data[start..<start + 4])), left)
        guard bytes > 0 else { throw breach("a status of no bytes") }
        extents.append(
          NBDContextExtent(
            count: bytes, flags: UInt32(truncatingIfNeeded: Self.number(data[start + 4..<start + 8]))))
        left -= bytes
      }
      return true
    }
    guard !extents.isEmpty else { throw breach("no status of the context") }
    return extents
  }

  /// Reads the chunks of an answer up to the last. `body` takes what it knows of a chunk's kind and length, and reads it.
  private func receiveChunks(
    _ body: (_ kind: UInt16, _ length: Int) throws(BlockError) -> Bool,
    simple: () throws(BlockError) -> Void = { () throws(BlockError) in }
  ) throws(BlockError) {
    var failure: BlockError?
    while true {
      let header = try receive(16)
      let magic = UInt32(truncatingIfNeeded: Self.number(header[0..<4]))
      guard Self.number(header[8..<16]) == cookie else { throw breach("an answer to another request") }
      if magic == NBD.simpleReplyMagic {
        let code = UInt32(truncatingIfNeeded: Self.number(header[4..<8]))
        guard code == 0 else { throw Self.error(code, "") }
        return try simple()
      }
      guard magic == NBD.structuredReplyMagic else { throw breach("no answer") }
      let flags = UInt16(truncatingIfNeeded: Self.number(header[4..<6]))
      let kind = UInt16(truncatingIfNeeded: Self.number(header[6..<8]))
      let length = Int(Self.number(try receive(4)[...]))
      if kind & 0x8000 != 0 {
        guard length >= 6, length <= Self.answerLimit else { throw breach("an error of \(length) bytes") }
        let data = try receive(length)
        let code = UInt32(truncatingIfNeeded: Self.number(data[0..<4]))
        let count = min(Int(Self.number(data[4..<6])), length - 6)
        failure = failure ?? Self.error(code, String(decoding: data[6..<6 + count], as: UTF8.self))
      } else if kind != NBD.Chunk.none || length > 0 {
        guard try body(kind, length) else { throw breach("a chunk of kind \(kind) that nobody asked for") }
      }
      guard flags & NBD.Chunk.done == 0 else { break }
    }
    if let failure { throw failure }
  }

  // MARK: Bytes

  private func send(_ bytes: [UInt8]) throws(BlockError) {
    let outcome: Result<Void, BlockError> = bytes.withUnsafeBytes { bytes in
      do throws(BlockError) { return .success(try sendAll(bytes)) } catch { return .failure(error) }
    }
    try outcome.get()
  }

  private func sendAll(_ bytes: UnsafeRawBufferPointer) throws(BlockError) {
    var done = 0
    while done < bytes.count {
      guard descriptor >= 0 else { throw BlockError(.closed, "the NBD connection has ended") }
      let count = Glibc.send(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, Int32(MSG_NOSIGNAL))
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw cut(errno) }
      done += count
    }
  }

  private func receive(_ count: Int) throws(BlockError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let outcome: Result<Void, BlockError> = bytes.withUnsafeMutableBytes { bytes in
      do throws(BlockError) { return .success(try receiveAll(bytes)) } catch { return .failure(error) }
    }
    try outcome.get()
    return bytes
  }

  private func receiveAll(_ buffer: UnsafeMutableRawBufferPointer) throws(BlockError) {
    var done = 0
    while done < buffer.count {
      guard descriptor >= 0 else { throw BlockError(.closed, "the NBD connection has ended") }
      let count = recv(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw cut(count == 0 ? ECONNRESET : errno) }
      done += count
    }
  }

  private func cut(_ code: Int32) -> BlockError {
    end()
    return .system(code == EAGAIN ? ETIMEDOUT : code, "the NBD connection")
  }

  private func breach(_ what: String) -> BlockError {
    end()
    return BlockError(.io, "the NBD server broke the protocol: \(what)")
  }

  private static func error(_ code: UInt32, _ text: String) -> BlockError {
    let words = text.isEmpty ? String(cString: strerror(Int32(truncatingIfNeeded: code))) : text
    return .system(Int32(truncatingIfNeeded: code), "the NBD server answers: \(words)")
  }

  private static func words(of data: [UInt8], or type: UInt32) -> String {
    data.isEmpty ? "answer \(String(type, radix: 16))" : String(decoding: data, as: UTF8.self)
  }

  private static func text(_ text: String) -> [UInt8] { big(UInt32(clamping: text.utf8.count)) + Array(text.utf8) }

  private static func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}
