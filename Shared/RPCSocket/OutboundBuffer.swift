/// Frames, as the bytes to send.
struct OutboundBuffer {
  private var bytes: [UInt8] = []
  /// How many of them are sent.
  private var sent = 0

  var count: Int { bytes.count - sent }
  var isEmpty: Bool { count == 0 }

  /// Appends a text with its length before it.
  mutating func append(_ text: [UInt8]) {
    let length = UInt32(truncatingIfNeeded: text.count).bigEndian
    withUnsafeBytes(of: length) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: text)
  }

  mutating func append(_ other: OutboundBuffer) { bytes.append(contentsOf: other.bytes[other.sent...]) }

  mutating func removeAll() {
    // What a long message needed is not kept for short ones.
    bytes.removeAll(keepingCapacity: bytes.capacity <= 1 << 16)
    sent = 0
  }

  enum Sent {
    case everything
    /// The peer takes no more now; whether it has taken anything.
    case part(Bool)
    case broken
  }

  /// Sends what the socket takes.
  mutating func send(to descriptor: Int32) -> Sent {
    var isProgress = false
    while !isEmpty {
      let count = bytes.withUnsafeBytes {
        UnixSocket.send(descriptor, UnsafeRawBufferPointer(rebasing: $0[sent...]))
      }
      if count < 0 { return .broken }
      if count == 0 { return .part(isProgress) }
      isProgress = true
      sent += count
    }
    removeAll()
    return .everything
  }
}

/// Frames that wait for the peer.
///
/// Who finds that nobody sends takes the bytes out and sends them without a lock; what is appended meanwhile it sends, too. So frames
/// leave in the order in which they were appended, many in one system call when there are many, and nobody waits for another's call.
struct OutboundQueue {
  private var waiting = OutboundBuffer()
  /// Bytes that the sender has taken out.
  private var takenBytes = 0
  /// How often the sender has taken bytes in a row.
  private var turns = 0
  private(set) var isSending = false
  /// Empty, with memory to use again.
  private var spare = OutboundBuffer()
  /// A sender goes on so often; then it is somebody else's turn.
  private static let turnLimit = 16

  /// Bytes that are not sent yet, as far as is known.
  var count: Int { waiting.count + takenBytes }

  mutating func append(_ text: [UInt8]) { waiting.append(text) }

  /// Makes the caller the sender of what waits; false when nothing does, or another is.
  mutating func take(_ batch: inout OutboundBuffer) -> Bool {
    guard !isSending, !waiting.isEmpty else { return false }
    isSending = true
    turns = 0
    swap(&batch, &spare)
    return takeMore(&batch) == .more
  }

  enum Next { case more, nothing, limit }

  /// Gives the sender what has come while it sent; the batch is sent and empty. With `nothing` it is the sender no more.
  mutating func takeMore(_ batch: inout OutboundBuffer) -> Next {
    guard !waiting.isEmpty else {
      swap(&batch, &spare)
      stopSending()
      return .nothing
    }
    guard turns < Self.turnLimit else { return .limit }
    turns += 1
    swap(&batch, &waiting)
    takenBytes = batch.count
    return .more
  }

  /// Takes back what the sender could not send, before what came since.
  mutating func giveBack(_ batch: inout OutboundBuffer) {
    batch.append(waiting)
    swap(&batch, &waiting)
    stopSending()
  }

  mutating func stopSending() {
    isSending = false
    takenBytes = 0
  }

  /// Drops what waits. Who sends goes on with what it has taken.
  mutating func removeAll() { waiting.removeAll() }
}
