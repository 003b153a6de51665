import Glibc
import RPC
import Synchronization

/// Who gets what a framed socket receives. Called on the event loop's thread.
protocol FramedSocketOwner: AnyObject, Sendable {
  /// Whether another frame may be handled now. When not, the socket stops reading until `resumeReading`.
  func mayReceive() -> Bool
  func received(_ text: UnsafeBufferPointer<UInt8>)
  /// All that waited for the peer is sent.
  func queueEmptied()
  /// The peer sends no more, but may still read.
  func peerFinishedSending()
  /// The bytes are no frames, or a frame took too long: the socket closes after what this sends.
  func broken(_ error: RPCError)
  /// A deadline of the owner's own, set by `setOwnerDeadline`.
  func deadlinePassed()
  /// The socket is closed; the last call.
  func closed()
}

/// A non-blocking stream socket that sends and receives frames.
///
/// Any thread may send: bytes that the socket takes at once are written by the sending thread, which saves the round trip to the
/// loop; the loop writes the rest. Only the loop's thread reads and ends the connection. Where several frames have come at once, what
/// answers them is sent at once, too.
final class FramedSocket: EventHandler {
  private struct Outbound {
    /// -1 once closed. Who is sending at that time closes the descriptor itself when it has done.
    var descriptor: Int32
    var registration: EventLoop.Registration?
    var queue = OutboundQueue()
    /// While several frames are handled in a row, their answers are sent together.
    var isGathering = false
    var isReading = true
    /// The peer has said that it sends no more.
    var hasEnded = false
    var closesWhenSent = false
    var isBroken = false
    var owner: (any FramedSocketOwner)?
    var frameDeadline: UInt64?
    var writeDeadline: UInt64?
    var ownerDeadline: UInt64?

    var events: EventLoop.Events {
      var events: EventLoop.Events = isReading ? [.readable] : []
      if isBlocked { events.insert(.writable) }
      return events
    }
    /// Whether the loop sends the rest when the peer has taken what it was sent.
    var isBlocked: Bool { writeDeadline != nil }
    var isOpen: Bool { descriptor >= 0 && !isBroken }
    var deadline: UInt64? { [frameDeadline, writeDeadline, ownerDeadline].compactMap(\.self).min() }
  }

  private let loop: EventLoop
  private let limits: RPCLimits
  private let outbound: Mutex<Outbound>
  private let inbound: Mutex<FrameBuffer>
  /// Counts what all sockets of a server hold of unhandled frames.
  private let budget: InboundBudget

  init(_ descriptor: Int32, loop: EventLoop, limits: RPCLimits, budget: InboundBudget) {
    self.loop = loop
    self.limits = limits
    self.budget = budget
    outbound = Mutex(Outbound(descriptor: descriptor))
    inbound = Mutex(FrameBuffer(limit: limits.frameBytes))
  }

  /// Begins to read. False when the kernel refuses; the descriptor is closed then.
  func start(_ owner: any FramedSocketOwner) -> Bool {
    outbound.withLock { outbound in
      outbound.owner = owner
      outbound.registration = loop.add(outbound.descriptor, outbound.events, self)
      guard outbound.registration == nil else { return true }
      Glibc.close(outbound.descriptor)
      outbound.descriptor = -1
      outbound.owner = nil
      return false
    }
  }

  // MARK: Sending

  /// Bytes that wait because the peer does not take what it was sent before; `queueEmptied` follows where there are any.
  var blockedBytes: Int { outbound.withLock { $0.isBlocked ? $0.queue.count : 0 } }

  /// Whether neither side has closed.
  var isOpen: Bool { outbound.withLock { $0.isOpen } }

  /// Sends a message or queues it; false when the socket is closed, or when the peer does not take more than `queueLimit` bytes.
  @discardableResult
  func send(_ message: [UInt8], queueLimit: Int? = nil) -> Bool {
    let (isQueued, isDue) = outbound.withLock { outbound in
      guard outbound.isOpen else { return (false, false) }
      if let queueLimit, outbound.isBlocked, outbound.queue.count > queueLimit { return (false, false) }
      outbound.queue.append(message)
      if outbound.isBlocked || outbound.queue.isSending {
        if outbound.queue.count > limits.outboundBytes { abandon(&outbound, hearing: false) }
        return (true, false)
      }
      return (true, !outbound.isGathering || outbound.queue.count >= Self.gatheredBytes)
    }
    if isDue { flush() }
    return isQueued
  }

  /// Answers are sent together up to here, so that the first of them does not wait for long.
  private static let gatheredBytes = 4_096

  /// From now on what is sent waits for `endGathering`, as long as it is little.
  private func beginGathering() -> (any FramedSocketOwner)? {
    outbound.withLock { outbound in
      outbound.isGathering = outbound.owner != nil
      return outbound.owner
    }
  }

  private func endGathering() {
    let isDue = outbound.withLock { outbound in
      defer { outbound.isGathering = false }
      return outbound.isGathering && !outbound.isBlocked
    }
    if isDue { flush() }
  }

  /// Closes once everything queued is sent.
  func closeWhenSent() {
    let isDone = outbound.withLock { outbound in
      outbound.closesWhenSent = true
      outbound.isReading = false
      if outbound.queue.count > 0 { watch(&outbound) }
      return outbound.queue.count == 0
    }
    if isDone { close() }
  }

  /// Sends as much as the socket takes, and has the loop send the rest.
  private func flush() {
    var batch = OutboundBuffer()
    let descriptor = outbound.withLock { $0.isOpen && $0.queue.take(&batch) ? $0.descriptor : -1 }
    guard descriptor >= 0 else { return }
    while true {
      let sent = batch.send(to: descriptor)
      guard outbound.withLock({ goesOn(&$0, &batch, sent, descriptor) }) else { return }
    }
  }

  /// Whether there is more to send at once.
  private func goesOn(
    _ outbound: inout Outbound, _ batch: inout OutboundBuffer, _ sent: OutboundBuffer.Sent, _ descriptor: Int32
  ) -> Bool {
    guard outbound.isOpen else {
      if outbound.descriptor < 0 { Glibc.close(descriptor) }
      outbound.queue.stopSending()
      return false
    }
    switch sent {
    case .everything:
      switch outbound.queue.takeMore(&batch) {
      case .more: return true
      case .nothing:
        setBlocked(&outbound, false, isProgress: true)
        if outbound.closesWhenSent { close() }
      case .limit:
        outbound.queue.giveBack(&batch)
        setBlocked(&outbound, true, isProgress: true)
      }
    case .part(let isProgress):
      outbound.queue.giveBack(&batch)
      setBlocked(&outbound, true, isProgress: isProgress)
    case .broken:
      outbound.queue.stopSending()
      abandon(&outbound, hearing: true)
    }
    return false
  }

  private func setBlocked(_ outbound: inout Outbound, _ isBlocked: Bool, isProgress: Bool) {
    let wasBlocked = outbound.isBlocked
    guard isBlocked || wasBlocked else { return }
    if !isBlocked {
      outbound.writeDeadline = nil
    } else if isProgress || !wasBlocked {
      outbound.writeDeadline = UnixSocket.now() + limits.writeTimeout.nanosecondCount
    }
    if isBlocked != wasBlocked { watch(&outbound) }
    if let registration = outbound.registration { loop.setDeadline(registration, outbound.deadline) }
  }

  /// Nothing more can be sent: the loop closes. A peer that has closed may have said why: whoever wants to hear it reads what
  /// has arrived before.
  private func abandon(_ outbound: inout Outbound, hearing: Bool) {
    outbound.isBroken = true
    outbound.queue.removeAll()
    loop.execute { [self] in
      if hearing { receive(hungUp: true) }
      closeNow()
    }
  }

  private func watch(_ outbound: inout Outbound) {
    guard let registration = outbound.registration, outbound.descriptor >= 0 else { return }
    loop.change(registration, outbound.descriptor, outbound.events)
  }

  // MARK: Receiving, on the loop's thread

  func ready(_ events: EventLoop.Events) {
    if events.contains(.writable) {
      flush()
      let emptied = outbound.withLock { $0.isOpen && !$0.isBlocked ? $0.owner : nil }
      emptied?.queueEmptied()
    }
    let isReading = outbound.withLock { $0.isReading }
    if isReading, !events.isDisjoint(with: [.readable, .hungUp, .error]) {
      receive(hungUp: events.contains(.hungUp))
    } else if !events.isDisjoint(with: [.hungUp, .error]) {
      closeNow()
    }
  }

  /// Reads until nothing is left, or for so long that others get their turn.
  private func receive(hungUp: Bool) {
    for _ in 0..<4 {
      let descriptor = outbound.withLock { $0.isReading ? $0.descriptor : -1 }
      guard descriptor >= 0 else { return }
      switch UnixSocket.receive(descriptor, loop.scratch) {
      case .bytes(let count):
        inbound.withLock { $0.append(UnsafeRawBufferPointer(rebasing: loop.scratch[..<count])) }
        handleFrames()
        if count < loop.scratch.count, !hungUp { return }
      case .nothing: return
      case .broken: return closeNow()
      case .end:
        if hungUp { return closeNow() }
        outbound.withLock { outbound in
          outbound.hasEnded = true
          outbound.isReading = false
          outbound.frameDeadline = nil
          watch(&outbound)
        }
        let owner = outbound.withLock { $0.owner }
        owner?.peerFinishedSending()
        return
      }
    }
  }

  /// Hands frames to the owner for as long as it wants them.
  private func handleFrames() {
    guard let owner = beginGathering() else { return }
    var problem: RPCError?
    let (isPaused, held) = inbound.withLock { inbound in
      var isPaused = false
      loop: while inbound.count > 0 {
        guard owner.mayReceive() else {
          isPaused = true
          break
        }
        switch inbound.next() {
        case .incomplete: break loop
        case .tooLong(let length):
          problem = tooLong(length)
          break loop
        case .frame(let range):
          // What takes long to read holds up no answer.
          if range.count > limits.inlineParseBytes { endGathering() }
          inbound.withText(range) { owner.received($0) }
          inbound.take(range)
        }
      }
      return (isPaused, inbound.count)
    }
    endGathering()
    if problem == nil, !budget.hold(held, for: self) { problem = InboundBudget.exceeded }
    if let problem {
      owner.broken(problem)
      closeWhenSent()
      return
    }
    outbound.withLock { outbound in
      if isPaused == outbound.isReading, !outbound.closesWhenSent {
        outbound.isReading = !isPaused
        watch(&outbound)
      }
      updateFrameDeadline(&outbound, isPartial: held > 0 && !isPaused)
    }
  }

  private func updateFrameDeadline(_ outbound: inout Outbound, isPartial: Bool) {
    guard isPartial != (outbound.frameDeadline != nil) else { return }
    outbound.frameDeadline = isPartial ? UnixSocket.now() + limits.frameTimeout.nanosecondCount : nil
    if let registration = outbound.registration { loop.setDeadline(registration, outbound.deadline) }
  }

  private func tooLong(_ length: Int) -> RPCError {
    RPCError(
      CommonFailure.limitExceeded,
      "A frame of \(length) bytes is longer than the \(limits.frameBytes) allowed; does the peer send a 4-byte big-endian "
        + "length before each message?",
      data: ["countBytes": .integer(Int64(length)), "limitBytes": .integer(Int64(limits.frameBytes))])
  }

  /// The owner takes frames again. From any thread.
  func resumeReading() {
    loop.execute { [self] in
      guard outbound.withLock({ $0.descriptor >= 0 && !$0.isReading && !$0.hasEnded && !$0.closesWhenSent }) else {
        return
      }
      handleFrames()
    }
  }

  /// Reads what has arrived by now. On the loop's thread.
  func receiveAvailable() { receive(hungUp: false) }

  // MARK: Time and end

  func setOwnerDeadline(_ deadline: UInt64?) {
    outbound.withLock { outbound in
      outbound.ownerDeadline = deadline
      if let registration = outbound.registration { loop.setDeadline(registration, outbound.deadline) }
    }
  }

  func deadlinePassed() {
    let now = UnixSocket.now()
    let late = outbound.withLock { outbound in
      let late = (
        frame: outbound.frameDeadline.map { $0 <= now } ?? false,
        write: outbound.writeDeadline.map { $0 <= now } ?? false,
        owner: outbound.ownerDeadline.map { $0 <= now } ?? false, who: outbound.owner
      )
      if late.frame { outbound.frameDeadline = nil }
      if late.owner { outbound.ownerDeadline = nil }
      if let registration = outbound.registration { loop.setDeadline(registration, outbound.deadline) }
      return late
    }
    if late.owner { late.who?.deadlinePassed() }
    if late.write { return closeNow() }
    if late.frame {
      let error = RPCError(CommonFailure.timedOut, "A frame was begun and not finished in \(limits.frameTimeout).")
      late.who?.broken(error)
      closeWhenSent()
    }
  }

  /// Closes without sending what waits. From any thread.
  func close() {
    loop.execute { [self] in closeNow() }
  }

  private func closeNow() {
    let owner = outbound.withLock { outbound -> (any FramedSocketOwner)? in
      guard outbound.descriptor >= 0 else { return nil }
      if let registration = outbound.registration { loop.remove(registration, outbound.descriptor) }
      if !outbound.queue.isSending { Glibc.close(outbound.descriptor) }
      outbound.descriptor = -1
      outbound.queue.removeAll()
      outbound.writeDeadline = nil
      outbound.isReading = false
      defer { outbound.owner = nil }
      return outbound.owner
    }
    _ = budget.hold(0, for: self)
    owner?.closed()
  }
}

extension Duration {
  /// Nanoseconds, at least 0 and at most a century.
  var nanosecondCount: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return UInt64(min(seconds, 3_000_000_000)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
  }
}
