import BlockLayers
import Glibc

/// The transmission phase of one connection.
///
/// Its thread executes requests as they come; what waits for the disk to be durable (flush, forced unit access) goes to
/// a worker after its data is written, so that what follows it does not wait. Answers are sent in one piece as soon as
/// no further request has been received. A request of usual size allocates nothing, and a larger one only where its answer
/// must be in one piece.
struct NBDTransmission: ~Copyable {
  struct Request {
    var flags: UInt16
    var type: UInt16
    var cookie: UInt64
    var offset: Int64
    var count: Int
    var objection: NBDObjection?
  }

  /// Bytes of a payload that fit into the buffers; larger ones are dealt with in pieces of this size.
  static let usualPayload = 512 << 10

  let connection: NBDConnection
  let device: any BlockDevice
  let agreement: NBDAgreement
  let limits: NBDLimits
  let flushes: NBDFlushes
  let held: NBDHeldAnswers
  let largeReads: NBDBudget
  let size: Int64
  var output: NBDOutput

  init(
    _ connection: NBDConnection, _ agreement: NBDAgreement, _ limits: NBDLimits, _ pool: WorkerPool,
    _ largeReads: NBDBudget
  ) {
    self.connection = connection
    self.agreement = agreement
    self.limits = limits
    self.largeReads = largeReads
    device = agreement.export.device
    size = agreement.export.device.size
    held = NBDHeldAnswers(connection, device, limit: limits.heldAnswers)
    flushes = NBDFlushes(
      connection, device, pool, held, limit: limits.flushesPerConnection, structured: agreement.structuredReplies)
    output = NBDOutput(connection, capacity: Self.usualPayload + 4096)
  }

  /// Serves until the connection ends. Afterwards nothing of it is under way.
  mutating func run(_ input: inout NBDInput) throws(NBDEnd) {
    defer {
      flushes.wait()
      held.end()
      // Who is gone needs no answers.
      try? connection.sendQueued()
    }
    while true {
      if input.available < NBD.requestLength { try receiveHeader(&input) }
      let header = try input.need(NBD.requestLength)
      guard header.big(UInt32.self, at: 0) == NBD.requestMagic else {
        throw .breach("request without its magic number")
      }
      let type = header.big(UInt16.self, at: 6)
      var request = Request(
        flags: header.big(UInt16.self, at: 4), type: type, cookie: header.big(UInt64.self, at: 8),
        offset: Int64(truncatingIfNeeded: header.big(UInt64.self, at: 16)),
        count: Int(header.big(UInt32.self, at: 24)))
      input.take(NBD.requestLength)
      if connection.isFenced.load(ordering: .sequentiallyConsistent) { throw .ended }
      guard let command = NBD.Command(rawValue: type) else {
        try fail(request, .invalid, "unknown command")
        continue
      }
      if command == .disconnect {
        try output.send()
        throw .closed
      }
      request.objection = check(request, command)
      try execute(request, command, &input)
    }
  }

  /// Sends what was answered and waits for the next request. A client that asks for nothing for a while costs little memory.
  private mutating func receiveHeader(_ input: inout NBDInput) throws(NBDEnd) {
    try output.send()
    while input.available < NBD.requestLength {
      if !connection.watchesIdleness, input.holdsMuch || output.holdsMuch {
        connection.watchIdleness(milliseconds: limits.idleMilliseconds)
      }
      if try input.receiveMore(of: NBD.requestLength) { continue }
      input.giveBack()
      output.giveBack()
      connection.watchIdleness(milliseconds: nil)
    }
  }

  // MARK: Checking

  /// What is wrong with a request; nil when nothing is.
  @inline(__always)
  private func check(_ request: Request, _ command: NBD.Command) -> NBDObjection? {
    let allowed: UInt16 =
      switch command {
      case .write, .trim, .flush: NBD.CommandFlag.forceUnitAccess
      case .read: NBD.CommandFlag.dontFragment
      case .writeZeroes:
        NBD.CommandFlag.forceUnitAccess | NBD.CommandFlag.noHole | NBD.CommandFlag.fastZero
      case .blockStatus: NBD.CommandFlag.requestOne
      case .cache, .disconnect: 0
      }
    // Clients may set FUA on any command where it was announced; it means nothing where nothing is written.
    if request.flags & ~(allowed | NBD.CommandFlag.forceUnitAccess) != 0 {
      return NBDObjection(.invalid, "a flag that the command does not have")
    }
    if command == .flush {
      let isEmpty = request.offset == 0 && request.count == 0
      return isEmpty ? nil : NBDObjection(.invalid, "a flush has neither offset nor length")
    }
    let writes = command == .write || command == .trim || command == .writeZeroes
    if writes, agreement.export.isReadOnly { return NBDObjection(.notPermitted, "the export is read-only") }
    if command == .blockStatus, agreement.contexts.isEmpty {
      return NBDObjection(.invalid, "no metadata context was chosen")
    }
    let isWhole = request.flags & NBD.CommandFlag.dontFragment != 0
    if isWhole, !agreement.structuredReplies {
      return NBDObjection(.invalid, "structured replies were not agreed on")
    }
    if command == .read || command == .write, request.count > limits.requestBytes {
      return NBDObjection(isWhole ? .overflow : .invalid, "longer than the largest request that was announced")
    }
    guard request.count > 0 else { return NBDObjection(.invalid, "a request of no bytes") }
    guard request.offset >= 0, Int64(request.count) <= size, request.offset <= size - Int64(request.count) else {
      // A trim beyond the end is as wrong as a read there; a write has no space.
      return NBDObjection(writes && command != .trim ? .noSpace : .invalid, "beyond the end of the export")
    }
    return nil
  }

  // MARK: Executing

  @inline(__always)
  private mutating func execute(
    _ request: Request, _ command: NBD.Command, _ input: inout NBDInput
  ) throws(NBDEnd) {
    switch command {
    case .read: try read(request)
    case .write: try write(request, &input)
    case .flush, .trim, .writeZeroes, .disconnect: try change(request, command)
    case .cache: try cache(request)
    case .blockStatus: try blockStatus(request)
    }
  }

  private mutating func change(_ request: Request, _ command: NBD.Command) throws(NBDEnd) {
    if command == .flush, request.objection == nil { return try flushes.submit(request.cookie, &output) }
    var failure: BlockError?
    if request.objection == nil {
      do throws(BlockError) {
        let count = Int64(request.count)
        switch command {
        case .trim: try device.trim(at: request.offset, count: count)
        case .writeZeroes:
          var flags: WriteFlags = []
          if request.flags & NBD.CommandFlag.noHole != 0 { flags.insert(.keepAllocated) }
          if request.flags & NBD.CommandFlag.fastZero != 0 { flags.insert(.onlyIfFast) }
          try device.writeZeroes(at: request.offset, count: count, flags: flags)
        default: break
        }
      } catch {
        failure = error
      }
    }
    try finish(request, failure)
  }

  /// Answers a change, after a flush where it, or the device, asks for one.
  @inline(__always)
  mutating func finish(_ request: Request, _ failure: BlockError?) throws(NBDEnd) {
    if let objection = request.objection { return try fail(request, objection) }
    if let failure { return try fail(request, failure) }
    if request.flags & NBD.CommandFlag.forceUnitAccess != 0 || held.isWriteThrough {
      return try flushes.submit(request.cookie, &output)
    }
    if held.mustHold { return try hold(request) }
    try output.reserve(NBD.Chunk.headerLength)
    output.putSuccess(request.cookie)
  }

  private mutating func hold(_ request: Request) throws(NBDEnd) {
    // Without a descriptor to be woken by, or with too many that wait, the client has to come again.
    guard connection.awaitWorker(), held.hold(request.cookie) else { throw .breach("too many changes wait for a leg") }
  }

  mutating func fail(_ request: Request, _ objection: NBDObjection) throws(NBDEnd) {
    try fail(request, objection.number, "\(objection.text)")
  }

  mutating func fail(_ request: Request, _ error: BlockError) throws(NBDEnd) {
    let isFast = request.flags & NBD.CommandFlag.fastZero != 0
    try fail(request, NBD.Failure(error, wasToBeFast: isFast), error.description)
  }

  mutating func fail(_ request: Request, _ error: NBD.Failure, _ text: String) throws(NBDEnd) {
    let answer = NBDAnswer.failure(request.cookie, error, text, structured: agreement.structuredReplies)
    try output.reserve(answer.count)
    output.put(answer)
  }
}
