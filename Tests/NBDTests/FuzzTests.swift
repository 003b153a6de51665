import BlockLayers
import Glibc
import NBD
import Testing

/// What a client may send, valid at first, and then damaged.
struct DamagedConversation {
  private var generator: SeededGenerator
  /// The pieces that a client would send one after the other.
  private var messages: [[UInt8]] = []

  init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

  /// The bytes of one conversation: haggling, the opening of `a`, requests; any part of it with damage.
  mutating func next() -> [UInt8] {
    messages = []
    haggle()
    let requestsBegin = messages.count
    for _ in 0..<Int.random(in: 1...30, using: &generator) { messages.append(request()) }
    // Where the haggling stays whole, the damage is heard by what executes requests.
    let damaged = Bool.random(using: &generator) ? requestsBegin..<messages.count : 0..<messages.count
    for _ in 0..<Int.random(in: 1...6, using: &generator) { damage(damaged) }
    var bytes: [UInt8] = []
    for message in messages { bytes.append(contentsOf: message) }
    if Int.random(in: 0..<4, using: &generator) == 0 {
      bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator))
    }
    return bytes
  }

  private mutating func haggle() {
    messages.append(big(UInt32([3, 3, 3, 1, 0].randomElement(using: &generator) ?? 3)))
    if Int.random(in: 0..<4, using: &generator) > 0 { option(8) }
    for _ in 0..<Int.random(in: 0...3, using: &generator) {
      switch Int.random(in: 0..<4, using: &generator) {
      case 0: option(3)
      case 1: option(6, string("a") + big(UInt16(2)) + big(UInt16(1)) + big(UInt16(3)))
      case 2: option(9, string("a") + big(UInt32(1)) + string("qemu:"))
      default: option(10, string("a") + big(UInt32(2)) + string("base:allocation") + string("qemu:dirty-bitmap:one"))
      }
    }
    if Int.random(in: 0..<5, using: &generator) == 0 {
      option(1, Array("a".utf8))
    } else {
      option(7, string("a") + big(UInt16(0)))
    }
  }

  private func string(_ text: String) -> [UInt8] { big(UInt32(text.utf8.count)) + Array(text.utf8) }

  private mutating func option(_ number: UInt32, _ data: [UInt8] = []) {
    messages.append(Array("IHAVEOPT".utf8) + big(number) + big(UInt32(data.count)) + data)
  }

  private mutating func request() -> [UInt8] {
    let type = UInt16.random(in: 0...8, using: &generator)
    let count = [1, 512, 512, 4096, 4096, 4096, 16384, 600_000].randomElement(using: &generator) ?? 1
    let offset = UInt64.random(in: 0...(1 << 20), using: &generator)
    let flags: UInt16 = [0, 0, 0, 1, 2, 4, 8, 16].randomElement(using: &generator) ?? 0
    if type == 3 { return WireClient.bytes(3, flags: flags & 1, cookie: offset) }
    // A goodbye ends the conversation: seldom.
    if type == 2, Int.random(in: 0..<20, using: &generator) > 0 { return WireClient.bytes(7, flags: 8, count: 4096) }
    let header = WireClient.bytes(type, flags: flags, cookie: offset, offset: offset, count: UInt32(count))
    return type == 1 ? header + [UInt8](repeating: 9, count: count) : header
  }

  private mutating func damage(_ range: Range<Int>) {
    guard let index = range.randomElement(using: &generator), !messages[index].isEmpty else { return }
    // Mostly of the headers, which decide what is done.
    let at = Int.random(in: 0..<min(messages[index].count, 40), using: &generator)
    switch Int.random(in: 0..<6, using: &generator) {
    case 0: messages[index][at] = UInt8.random(in: 0...255, using: &generator)
    case 1: messages[index][at] ^= 1 << UInt8.random(in: 0...7, using: &generator)
    case 2: messages[index].remove(at: at)
    case 3: messages[index].insert(UInt8.random(in: 0...255, using: &generator), at: at)
    case 4: messages[index] += messages[index]
    default:
      // A length or an offset at the bounds of its type.
      let value = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff].randomElement(using: &generator) ?? 0
      let field = at & ~3
      guard field + 4 <= messages[index].count else { return }
      messages[index].replaceSubrange(field..<field + 4, with: big(UInt32(value)))
    }
  }
}

/// Clients that send anything. `FTVS_SEED` replays a seed that a failure printed.
@Suite(.serialized) struct FuzzTests {
  static let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
  static let note = Comment(rawValue: "FTVS_SEED=\(seed)")

  @Test func `mutated option haggling and requests never trap`() throws {
    let device = RecordingDevice(size: 1 << 20)
    let checked = CheckingDevice(device)
    var limits = NBDLimits()
    (limits.flushThreads, limits.stopSeconds) = (4, 0)
    let bystander = "who has no part in it"
    let server = try TestServer(
      [
        "a": NBDExport(device: checked, contexts: [DirtyContext(name: "qemu:dirty-bitmap:one", dirty: 0..<4096)]),
        bystander: NBDExport(device: MemoryDevice(size: 1 << 20)),
      ], limits: limits)
    let other = try WireClient(server, viaPair: true)
    try other.go(bystander)
    var conversation = DamagedConversation(seed: Self.seed)
    var memory = 0
    for round in 0..<2000 {
      try converse(server, conversation.next(), round)
      // What a server needs once it needs no more a second time.
      if round == 200 { memory = residentBytes() }
      if round % 20 == 0 { try requireService(other, UInt8(truncatingIfNeeded: round)) }
    }
    #expect(hasOneSession(), Self.note)
    #expect(server.server.sessions.map(\.exportName) == [bystander], Self.note)
    #expect(residentBytes() - memory < 32 << 20, Self.note)
    #expect(checked.breaches == 0, Self.note)
    // Most of it must have got as far as the device.
    #expect(device.reads.count > 100 && device.writes.count > 100, "\(device.reads.count), \(device.writes.count)")
  }

  private func converse(_ server: TestServer, _ bytes: [UInt8], _ round: Int) throws {
    let client = try WireClient(server, viaPair: true)
    let threads = ThreadGroup()
    // Both at once: the server may have much to answer before it takes the rest.
    threads.start { [descriptor = client.descriptor] in
      WireClient.send(bytes, to: descriptor)
      shutdown(descriptor, Int32(SHUT_WR))
    }
    // Some leave without a word, the others listen to the end, which comes.
    if round % 7 == 0 {
      shutdown(client.descriptor, Int32(SHUT_RDWR))
    } else {
      client.receiveToEnd()
      #expect(client.isHungUp(within: 0), Self.note)
    }
    threads.join()
  }

  /// Another client's requests are executed and answered as ever.
  private func requireService(_ client: WireClient, _ byte: UInt8) throws {
    client.request(1, cookie: 1, offset: 512, count: 512, [UInt8](repeating: byte, count: 512))
    #expect(try #require(client.simpleReply(), Self.note) == (0, 1))
    client.request(3, cookie: 2)
    #expect(try #require(client.simpleReply(), Self.note) == (0, 2))
    client.request(0, cookie: 3, offset: 512, count: 512)
    #expect(try #require(client.simpleReply(), Self.note) == (0, 3))
    #expect(client.receive(512) == [UInt8](repeating: byte, count: 512), Self.note)
  }

  private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    fgets(&line, 256, file)
    let fields = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(getpagesize()) : 0
  }

  /// Whether only the bystander's thread is left, soon.
  private func hasOneSession() -> Bool {
    let end = ContinuousClock.now + .seconds(10)
    while ContinuousClock.now < end {
      if threads(named: "ftvs-nbd-client") == 1 { return true }
      sched_yield()
    }
    return false
  }

  private func threads(named name: String) -> Int {
    guard let folder = opendir("/proc/self/task") else { return -1 }
    defer { closedir(folder) }
    var count = 0
    while let entry = readdir(folder) {
      let thread = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      guard let file = fopen("/proc/self/task/\(thread)/comm", "r") else { continue }
      defer { fclose(file) }
      var line = [CChar](repeating: 0, count: 32)
      guard fgets(&line, 32, file) != nil else { continue }
      if String(decoding: line.prefix { $0 > 32 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == name { count += 1 }
    }
    return count
  }
}
