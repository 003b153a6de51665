import BlockLayers
import Glibc

/// What a client and the server agreed on.
struct NBDAgreement {
  var export: NBDExport
  var structuredReplies: Bool
  /// What block status tells of; empty when it must not be asked for.
  var contexts: [NBDAgreedContext]
}

/// The handshake and the options (fixed newstyle).
struct NBDNegotiation: ~Copyable {
  private let connection: NBDConnection
  private let provider: any NBDExportProvider
  private let limits: NBDLimits
  private var output: NBDOutput
  private var structuredReplies = false
  /// The metadata contexts that were chosen last, and for which export.
  private var chosen: (exportName: String, contexts: [(id: UInt32, name: String)])?
  private var noZeroes = false

  init(_ connection: NBDConnection, _ provider: any NBDExportProvider, _ limits: NBDLimits) {
    self.connection = connection
    self.provider = provider
    self.limits = limits
    output = NBDOutput(connection, capacity: 64 << 10)
  }

  mutating func run(_ input: inout NBDInput) throws(NBDEnd) -> NBDAgreement {
    output.put(NBD.greeting)
    output.put(NBD.optionMagic)
    output.put(NBD.Handshake.fixedNewstyle | NBD.Handshake.noZeroes)
    try output.send()
    let flags = try input.need(4).big(UInt32.self, at: 0)
    input.take(4)
    let known = UInt32(NBD.Handshake.fixedNewstyle | NBD.Handshake.noZeroes)
    guard flags & ~known == 0 else { throw .breach("unknown handshake flags \(flags)") }
    guard flags & UInt32(NBD.Handshake.fixedNewstyle) != 0 else { throw .breach("client is not fixed newstyle") }
    noZeroes = flags & UInt32(NBD.Handshake.noZeroes) != 0
    for _ in 0..<limits.options {
      if let agreement = try option(&input) { return agreement }
    }
    throw .breach("more than \(limits.options) options")
  }

  private mutating func option(_ input: inout NBDInput) throws(NBDEnd) -> NBDAgreement? {
    let header = try input.need(16)
    let magic = header.big(UInt64.self, at: 0)
    let number = header.big(UInt32.self, at: 8)
    let length = Int(header.big(UInt32.self, at: 12))
    input.take(16)
    guard magic == NBD.optionMagic else { throw .breach("option without its magic number") }
    guard length <= limits.optionBytes else {
      guard number != NBD.Option.exportName.rawValue, length <= 16 << 20 else { throw .breach("option too long") }
      try input.skip(length)
      try answer(number, NBD.OptionReply.tooBig, "longer than \(limits.optionBytes) bytes")
      return nil
    }
    let bytes = Array(UnsafeRawBufferPointer(start: try input.need(length), count: length))
    input.take(length)
    switch NBD.Option(rawValue: number) {
    case .exportName: return try exportName(bytes)
    case .abort:
      try answer(number, NBD.OptionReply.acknowledge)
      throw .closed
    case .list: try list(number, bytes)
    case .info: _ = try goOrInfo(number, bytes, isGo: false)
    case .go: return try goOrInfo(number, bytes, isGo: true)
    case .structuredReply:
      guard bytes.isEmpty else { return try invalid(number, "structured reply takes no data") }
      structuredReplies = true
      try answer(number, NBD.OptionReply.acknowledge)
    case .listMetaContext: try metaContext(number, bytes, sets: false)
    case .setMetaContext: try metaContext(number, bytes, sets: true)
    case .startTLS, nil: try answer(number, NBD.OptionReply.unsupported, "not supported")
    }
    return nil
  }

  // MARK: Options

  /// The old way: no answer but the export, or the end.
  private mutating func exportName(_ bytes: [UInt8]) throws(NBDEnd) -> NBDAgreement {
    guard bytes.count <= NBD.stringLimit, let name = String(validating: bytes, as: UTF8.self),
      let export = try? open(name)
    else { throw .closed }
    output.put(UInt64(clamping: export.device.size))
    output.put(Self.flags(export, structuredReplies: structuredReplies))
    if !noZeroes { output.put([UInt8](repeating: 0, count: 124)) }
    try output.send()
    return agreement(export, name)
  }

  private mutating func list(_ number: UInt32, _ bytes: [UInt8]) throws(NBDEnd) {
    guard bytes.isEmpty else { return _ = try invalid(number, "list takes no data") }
    for entry in connection.onOwnTime({ provider.list(peerUserID: connection.peerUserID) }) {
      // A part of a name would be another name.
      guard entry.name.utf8.count <= NBD.stringLimit else { continue }
      let name = Array(entry.name.utf8)
      let description = entry.description.utf8Prefix()
      try reply(number, NBD.OptionReply.server, length: 4 + name.count + description.count)
      output.put(UInt32(clamping: name.count))
      output.put(name)
      output.put(description)
    }
    try answer(number, NBD.OptionReply.acknowledge)
  }

  private mutating func goOrInfo(
    _ number: UInt32, _ bytes: [UInt8], isGo: Bool
  ) throws(NBDEnd) -> NBDAgreement? {
    var reader = OptionReader(bytes)
    guard let name = reader.string(), let count = reader.number(UInt16.self) else {
      return try invalid(number, "malformed")
    }
    var wanted: [UInt16] = []
    for _ in 0..<count {
      guard let info = reader.number(UInt16.self) else { return try invalid(number, "malformed") }
      wanted.append(info)
    }
    guard reader.isAtEnd else { return try invalid(number, "malformed") }
    let export: NBDExport
    do throws(NBDRefusal) {
      export = try open(name)
    } catch {
      // Who was refused has chosen nothing: it keeps nobody else out.
      forgetName()
      try refuse(number, error)
      return nil
    }
    try inform(number, name, export, wanted)
    try answer(number, NBD.OptionReply.acknowledge)
    if isGo { return agreement(export, name) }
    forgetName()
    return nil
  }

  private mutating func inform(
    _ number: UInt32, _ name: String, _ export: NBDExport, _ wanted: [UInt16]
  ) throws(NBDEnd) {
    try reply(number, NBD.OptionReply.info, length: 12)
    output.put(NBD.Info.export.rawValue)
    output.put(UInt64(clamping: export.device.size))
    output.put(Self.flags(export, structuredReplies: structuredReplies))
    try reply(number, NBD.OptionReply.info, length: 14)
    output.put(NBD.Info.blockSize.rawValue)
    output.put(UInt32(1))
    output.put(export.preferredBlockSize)
    output.put(UInt32(clamping: limits.requestBytes))
    for (info, text) in [(NBD.Info.name, name), (NBD.Info.description, export.description)] {
      guard wanted.contains(info.rawValue), !text.isEmpty else { continue }
      let bytes = text.utf8Prefix()
      try reply(number, NBD.OptionReply.info, length: 2 + bytes.count)
      output.put(info.rawValue)
      output.put(bytes)
    }
  }

  private mutating func metaContext(_ number: UInt32, _ bytes: [UInt8], sets: Bool) throws(NBDEnd) {
    if sets { chosen = nil }
    guard structuredReplies else { return _ = try invalid(number, "structured replies were not agreed on") }
    var reader = OptionReader(bytes)
    guard let name = reader.string(), let count = reader.number(UInt32.self) else {
      return _ = try invalid(number, "malformed")
    }
    guard count <= limits.contextQueries else {
      return try answer(number, NBD.OptionReply.tooBig, "more than \(limits.contextQueries) queries")
    }
    var queries: [String] = []
    for _ in 0..<count {
      guard let query = reader.string() else { return _ = try invalid(number, "malformed") }
      queries.append(query)
    }
    guard reader.isAtEnd else { return _ = try invalid(number, "malformed") }
    let contexts: NBDContextList
    do throws(NBDRefusal) {
      contexts = NBDContextList(try ask(name))
    } catch {
      return try refuse(number, error)
    }
    let selected = sets ? contexts.chosen(queries) : contexts.listed(queries)
    guard !sets || selected.count <= limits.contexts else {
      return try answer(number, NBD.OptionReply.tooBig, "more than \(limits.contexts) metadata contexts")
    }
    for agreed in selected {
      let context = Array(agreed.context.name.utf8)
      try reply(number, NBD.OptionReply.metaContext, length: 4 + context.count)
      output.put(sets ? agreed.id : 0)
      output.put(context)
    }
    if sets { chosen = (name, selected.map { ($0.id, $0.context.name) }) }
    try answer(number, NBD.OptionReply.acknowledge)
  }

  // MARK: Opening

  /// The name is known to a fence before the export is opened: either the fence finds this connection, or the provider
  /// has heard of the fence.
  private func open(_ name: String) throws(NBDRefusal) -> NBDExport {
    connection.exportName.withLock { $0 = name }
    return try ask(name)
  }

  private func ask(_ name: String) throws(NBDRefusal) -> NBDExport {
    try connection.onOwnTime { () throws(NBDRefusal) in
      try provider.open(name: name, peerUserID: connection.peerUserID)
    }
  }

  private func forgetName() { connection.exportName.withLock { $0 = nil } }

  private func agreement(_ export: NBDExport, _ name: String) -> NBDAgreement {
    // Those of another export are not meant.
    let names = chosen?.exportName == name ? chosen?.contexts ?? [] : []
    return NBDAgreement(
      export: export, structuredReplies: structuredReplies, contexts: NBDContextList(export).reopened(names))
  }

  static func flags(_ export: NBDExport, structuredReplies: Bool) -> UInt16 {
    var flags = NBD.Export.hasFlags | NBD.Export.sendFlush | NBD.Export.sendCache | NBD.Export.multiConnection
    if structuredReplies { flags |= NBD.Export.sendDF }
    if export.isReadOnly { return flags | NBD.Export.readOnly }
    flags |= NBD.Export.sendFUA | NBD.Export.sendTrim | NBD.Export.sendWriteZeroes | NBD.Export.sendFastZero
    return flags
  }

  // MARK: Answers

  private mutating func reply(_ option: UInt32, _ type: UInt32, length: Int) throws(NBDEnd) {
    try output.reserve(20 + length)
    output.put(NBD.optionReplyMagic)
    output.put(option)
    output.put(type)
    output.put(UInt32(clamping: length))
  }

  private mutating func answer(_ option: UInt32, _ type: UInt32, _ text: String = "") throws(NBDEnd) {
    let bytes = text.utf8Prefix()
    try reply(option, type, length: bytes.count)
    output.put(bytes)
    try output.send()
  }

  private mutating func invalid(_ option: UInt32, _ text: String) throws(NBDEnd) -> NBDAgreement? {
    try answer(option, NBD.OptionReply.invalid, text)
    return nil
  }

  private mutating func refuse(_ option: UInt32, _ refusal: NBDRefusal) throws(NBDEnd) {
    switch refusal {
    case .unknown: try answer(option, NBD.OptionReply.unknown, "there is no such export")
    case .notAllowed(let reason): try answer(option, NBD.OptionReply.policy, reason)
    case .stopping: try answer(option, NBD.OptionReply.shutdown, "the server is about to end; connect again")
    }
  }
}

/// Fields of an option's data; nil behind its end.
struct OptionReader {
  private var bytes: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  var isAtEnd: Bool { bytes.isEmpty }

  mutating func number<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type) -> T? {
    let length = MemoryLayout<T>.size
    guard bytes.count >= length else { return nil }
    defer { bytes = bytes.dropFirst(length) }
    return bytes.prefix(length).reduce(0) { $0 << 8 | T($1) }
  }

  /// A string of UTF-8 with its length before it.
  mutating func string() -> String? {
    guard let length = number(UInt32.self), length <= NBD.stringLimit, bytes.count >= Int(length) else { return nil }
    defer { bytes = bytes.dropFirst(Int(length)) }
    return String(validating: bytes.prefix(Int(length)), as: UTF8.self)
  }
}
