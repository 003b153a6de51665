import Glibc
import Primitives

/// Calls on both legs by whoever compares them: none is waited for longer than the bound as long as the other leg answers.
extension MirroredFile {
  /// The two legs in step, the one that is read first.
  typealias Pair = (first: Leg, second: Leg)

  /// What both legs gave.
  typealias Outcomes<T> = (first: Result<T, BlockError>, second: Result<T, BlockError>)

  /// Does the same on both legs at once. While neither has answered both are waited for without a bound, as `together`
  /// does. A leg that then takes longer is out, and its error is thrown.
  func onBoth<T: Sendable>(
    _ pair: Pair, _ body: @escaping @Sendable (Leg) throws(BlockError) -> T
  ) throws(BlockError) -> Outcomes<T> {
    let begun = (begin(pair.first, body), begin(pair.second, body))
    var haveEnded = (calls.hasEnded(begun.0, on: pair.first.id), calls.hasEnded(begun.1, on: pair.second.id))
    while !haveEnded.0, !haveEnded.1 {
      haveEnded = (begun.0.hasEnded(within: calls.bound), begun.1.hasEnded(within: .zero))
    }
    return (try inTime(begun.0, pair.first), try inTime(begun.1, pair.second))
  }

  /// Does something on one leg. Nil where the leg cannot; throws when it does not answer within the bound, and is out.
  func onOne<T: Sendable>(
    _ leg: Leg, _ body: @escaping @Sendable (Leg) throws(BlockError) -> T
  ) throws(BlockError) -> Result<T, BlockError> {
    let call = begin(leg, body)
    _ = calls.hasEnded(call, on: leg.id)
    return try inTime(call, leg)
  }

  /// What a call gave that was waited for long enough.
  private func inTime<T>(_ call: BoundedCall<T, BlockError>, _ leg: Leg) throws(BlockError) -> Result<T, BlockError> {
    if let outcome = call.outcome(within: .zero) { return outcome }
    let error = lateness(of: leg)
    try expel(leg, error)
    throw error
  }

  /// What a leg holds in a piece of the file.
  struct Content: Sendable {
    /// Whether nothing is stored there; then the bytes are zeros.
    var isHole: Bool
    var bytes: CallBuffer

    func equals(_ other: Content) -> Bool {
      guard let one = bytes.bytes.baseAddress, let two = other.bytes.bytes.baseAddress else { return true }
      return memcmp(one, two, min(bytes.bytes.count, other.bytes.bytes.count)) == 0
    }
  }

  /// What both legs hold in a piece.
  func contents(of pair: Pair, at offset: Int64, count: Int) throws(BlockError) -> Outcomes<Content> {
    try onBoth(pair) { (leg) throws(BlockError) in
      let buffer = CallBuffer(count: count)
      let isHole = try leg.file.isHole(at: offset, count: Int64(count))
      if isHole {
        buffer.bytes.initializeMemory(as: UInt8.self, repeating: 0)
      } else {
        try leg.file.read(into: buffer.bytes, at: offset)
      }
      return Content(isHole: isHole, bytes: buffer)
    }
  }

  /// The bytes that both legs read as in a piece.
  func bytes(of pair: Pair, at offset: Int64, count: Int) throws(BlockError) -> Outcomes<CallBuffer> {
    try onBoth(pair) { (leg) throws(BlockError) in
      let buffer = CallBuffer(count: count)
      try leg.file.read(into: buffer.bytes, at: offset)
      return buffer
    }
  }
}

extension ByteFile {
  fileprivate func isHole(at offset: Int64, count: Int64) throws(BlockError) -> Bool {
    guard let data = try nextData(at: offset) else { return true }
    return data.lowerBound >= offset + count
  }
}
