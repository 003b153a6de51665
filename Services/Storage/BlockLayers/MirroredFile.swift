import Glibc
import Primitives

/// A file of which each leg holds a copy.
///
/// States of a leg: *in step* (read and written), *joining* (written, not read: it is being copied to), *absent*.
/// A write that fails on one leg takes that leg out; nothing that the leg misses is acknowledged before `onLegFailure`
/// has returned, because until then the loss is not durable and a restart could trust the leg. The last leg in step is
/// never taken out: where it fails, the call fails.
public final class MirroredFile: ByteFile, @unchecked Sendable {
  // `legs`, `missing`, `leaving` and `broken` are touched only with `monitor` held; the rest is immutable and Sendable.

  /// A copy on one leg.
  public final class Leg: Sendable {
    public let id: LegID
    public let file: any ByteFile
    /// The leg's write-intent record. Without one it is copied whole whenever it may differ.
    public let intent: IntentFile?
    /// The checksums of what the leg holds. Without them a scrub cannot tell which leg is wrong.
    public let sums: SumFile?
    /// True once the module of this leg is removed or isolated; asked before every call.
    public let isShot: @Sendable () -> Bool
    /// Has the leg reached by another path after a call that did not end. True when there is one.
    public let takesOtherPath: @Sendable () -> Bool

    public init(
      id: LegID, file: any ByteFile, intent: IntentFile? = nil, sums: SumFile? = nil,
      isShot: @escaping @Sendable () -> Bool = { false }, takesOtherPath: @escaping @Sendable () -> Bool = { false }
    ) {
      self.id = id
      self.file = file
      self.intent = intent
      self.sums = sums
      self.isShot = isShot
      self.takesOtherPath = takesOtherPath
    }
  }

  /// What a leg is to this file.
  public enum LegState: Sendable, Hashable { case inStep, joining, absent }

  /// Makes the loss of a leg durable. Until it returns nothing that the leg misses is acknowledged; when it throws, this
  /// file fails every further write. Called at most once for each loss, on the thread of the failed call.
  public typealias LegFailureHandler = @Sendable (LegID, BlockError) throws(BlockError) -> Void

  /// Told of what a leg could not read, or read wrong. Called on the thread of the read; must not block.
  public typealias ReadErrorHandler = @Sendable (ReadFailure) -> Void

  /// The members; a dictionary would hash at every call.
  struct Legs {
    private var io0: Member?
    private var io1: Member?

    subscript(leg: LegID) -> Member? {
      get { leg == .io0 ? io0 : io1 }
      set { if leg == .io0 { io0 = newValue } else { io1 = newValue } }
    }

    var all: [Leg] { [io0, io1].compactMap { $0?.leg } }
  }

  public let name: String
  let monitor = Monitor()
  let ranges = RangeLock()
  let hot: HotExtents
  let calls: LegCalls
  let onLegFailure: LegFailureHandler
  let onReadError: ReadErrorHandler
  let preferred: LegID
  /// Checksums of cold extents; nil where no leg keeps any.
  let sums: SumCache?
  var legs = Legs()
  /// The extents that are still to be copied to the leg that is joining; nil when it is all. There is one at most.
  var missing: ExtentSet? = ExtentSet()
  private var leaving = 0
  private var broken: BlockError?

  /// Legs that a call works on; values, so that taking them allocates nothing.
  struct Members {
    var first: Leg
    var second: Leg?
    /// Whether a loss is being made durable that this call, too, would miss.
    var mustWait: Bool
  }

  /// - Parameters:
  ///   - name: for people.
  ///   - legs: one or two legs that hold the same bytes, but for what their records say.
  ///   - isNew: whether the file is empty and its records are to be begun.
  ///   - preferred: the leg that is read as long as it is in step.
  ///   - calls: bounds how long a leg may take for what waits for its disk.
  /// - Throws: `misuse` without a leg, and what the first record fails with.
  public init(
    name: String, legs: [Leg], isNew: Bool = false, preferred: LegID = .io0, calls: LegCalls = LegCalls(),
    onReadError: @escaping ReadErrorHandler = { _ in },
    onLegFailure: @escaping LegFailureHandler
  ) throws(BlockError) {
    guard !legs.isEmpty else { throw BlockError(.misuse, "\(name) needs a leg") }
    self.name = name
    self.preferred = preferred
    self.calls = calls
    self.onLegFailure = onLegFailure
    self.onReadError = onReadError
    hot = Self.hotExtents(of: legs, isNew: isNew)
    sums = legs.contains { $0.sums != nil } ? SumCache() : nil
    for leg in legs { self.legs[leg.id] = Member(leg: leg, isInStep: true, isEqual: true) }
    if isNew { try beginIntent() }
  }

  // MARK: Writing

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    let held = try lockHot(at: offset, count: buffer.count)
    defer { ranges.unlock(held) }
    if calls.isSlow(.io0) || calls.isSlow(.io1) {
      let copy = CallBuffer(buffer)
      return try together { (leg) throws(BlockError) in try leg.file.write(copy.content, at: offset) }
    }
    if buffer.count >= SecondWrite.least { return try writeAtOnce(buffer, at: offset) }
    try changing { (leg) throws(BlockError) in try leg.file.write(buffer, at: offset) }
  }

  /// Writes to both legs at the same time.
  private func writeAtOnce(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(BlockError) {
    let members = try members()
    let second = members.second.map { SecondWrite($0, buffer, at: offset) }
    if let second, let leg = members.second { calls.hand(leg.id) { second.run() } }
    let first = Self.outcome { () throws(BlockError) in
      try members.first.gated { (leg) throws(BlockError) in try leg.file.write(buffer, at: offset) }
    }
    try settle(members, first, second?.finish())
  }

  public func truncate(to size: Int64) throws(BlockError) {
    let old = try self.size()
    // What is cut off may come back on one leg when the file grows again. What is new reads as zeros on both.
    let held = size < old ? try lockAllHot(at: size, count: Int(old - size)) : ranges.lockAll()
    defer { ranges.unlock(held) }
    try together { (leg) throws(BlockError) in try leg.file.truncate(to: size) }
  }

  public func allocate(at offset: Int64, count: Int64) throws(BlockError) {
    // No byte changes, so nothing becomes hot.
    let held = ranges.lock(at: offset, count: count)
    defer { ranges.unlock(held) }
    try together { (leg) throws(BlockError) in try leg.file.allocate(at: offset, count: count) }
  }

  public func punch(at offset: Int64, count: Int64) throws(BlockError) {
    let held = try lockHot(at: offset, count: Int(count))
    defer { ranges.unlock(held) }
    try together { (leg) throws(BlockError) in try leg.file.punch(at: offset, count: count) }
  }

  /// Syncs both legs at the same time.
  public func flush() throws(BlockError) {
    try together { (leg) throws(BlockError) in try leg.file.flush() }
  }

  public func close() {
    closeIntent()
    let all = monitor.locked { legs.all }
    for leg in all { leg.close() }
  }

  /// Changes both legs at the same time, each for no longer than the bound. While neither has answered both are waited
  /// for without one: there is nothing to go on with, and what was given up on a leg that stays could later change what
  /// was written since.
  func together(_ body: @escaping @Sendable (Leg) throws(BlockError) -> Void) throws(BlockError) {
    let members = try members()
    let first = members.first
    guard let second = members.second else {
      return try settle(members, Self.outcome { () throws(BlockError) in try first.gated(body) }, nil)
    }
    let begun = (begin(first, body), begin(second, body))
    var haveEnded = (calls.hasEnded(begun.0, on: first.id), calls.hasEnded(begun.1, on: second.id))
    while !haveEnded.0, !haveEnded.1 {
      haveEnded = (begun.0.hasEnded(within: calls.bound), begun.1.hasEnded(within: .zero))
    }
    try settle(members, outcome(of: begun.0, first), outcome(of: begun.1, second))
  }

  func begin<T: Sendable>(
    _ leg: Leg, _ body: @escaping @Sendable (Leg) throws(BlockError) -> T
  ) -> BoundedCall<T, BlockError> {
    calls.begin(on: leg.id) { () throws(BlockError) in try leg.gated(body) }
  }

  private func outcome(of call: BoundedCall<Void, BlockError>, _ leg: Leg) -> BlockError? {
    switch call.outcome(within: .zero) {
    case .success?: nil
    case .failure(let error)?: error
    case nil: lateness(of: leg)
    }
  }

  func lateness(of leg: Leg) -> BlockError {
    BlockError(.io, "leg \(leg.id.rawValue) of \(name) did not answer within \(calls.bound)")
  }

  @inline(__always)
  private func changing(_ body: (Leg) throws(BlockError) -> Void) throws(BlockError) {
    let members = try members()
    let first = Self.outcome { () throws(BlockError) in try members.first.gated(body) }
    guard let second = members.second else { return try settle(members, first, nil) }
    try settle(members, first, Self.outcome { () throws(BlockError) in try second.gated(body) })
  }

  @inline(__always)
  private static func outcome(_ body: () throws(BlockError) -> Void) -> BlockError? {
    do throws(BlockError) {
      try body()
      return nil
    } catch {
      return error
    }
  }

  /// Must be called with the range of the change held: a leg that joins is then either among the result, or its copy of
  /// the range is taken after the change.
  @inline(__always)
  func members() throws(BlockError) -> Members {
    monitor.lock()
    defer { monitor.unlock() }
    if let broken { throw broken }
    if let one = legs[preferred] {
      return Members(first: one.leg, second: legs[preferred.other]?.leg, mustWait: leaving > 0)
    }
    guard let other = legs[preferred.other] else { throw BlockError(.io, "\(name) has no leg") }
    return Members(first: other.leg, second: nil, mustWait: leaving > 0)
  }

  /// Decides what the outcome on each leg means for the call and for the legs.
  @inline(__always)
  private func settle(_ members: Members, _ first: BlockError?, _ second: BlockError?) throws(BlockError) {
    if first == nil, second == nil, !members.mustWait { return }
    try settleSlowly(members, first, second)
  }

  private func settleSlowly(_ members: Members, _ first: BlockError?, _ second: BlockError?) throws(BlockError) {
    var failed: [(Leg, BlockError)] = []
    if let first { failed.append((members.first, first)) }
    if let second, let leg = members.second { failed.append((leg, second)) }
    let succeeded = failed.count < (members.second == nil ? 1 : 2)
    if succeeded {
      for (leg, error) in failed { try expel(leg, error) }
    }
    monitor.lock()
    defer { monitor.unlock() }
    while leaving > 0 { monitor.wait() }
    if let broken { throw broken }
    guard succeeded else { throw first ?? second ?? BlockError(.io, name) }
    // What succeeded must have done so on a leg that still counts.
    let survivor = first == nil ? members.first : members.second
    guard let survivor, legs[survivor.id]?.leg === survivor, legs[survivor.id]?.isInStep == true else {
      throw first ?? second ?? BlockError(.io, "\(name): the leg that took the write was lost")
    }
  }

  /// Takes a leg out and has its loss made durable. Does nothing where it is out already. Throws where it is the last
  /// one in step.
  func expel(_ leg: Leg, _ error: BlockError) throws(BlockError) {
    monitor.lock()
    guard let member = legs[leg.id], member.leg === leg else { return monitor.unlock() }
    guard legs[leg.id.other]?.isInStep == true else {
      monitor.unlock()
      throw error
    }
    legs[leg.id] = nil
    leaving += 1
    monitor.unlock()

    var failure: BlockError?
    do throws(BlockError) { try onLegFailure(leg.id, error) } catch { failure = error }

    monitor.lock()
    leaving -= 1
    if let failure { broken = failure }
    monitor.wakeAll()
    monitor.unlock()
    if let failure { throw failure }
  }
}

extension MirroredFile.Leg {
  /// Gives its files back.
  public func close() {
    file.close()
    intent?.close()
    sums?.close()
  }

  @inline(__always)
  func gated<T>(_ body: (MirroredFile.Leg) throws(BlockError) -> T) throws(BlockError) -> T {
    if isShot() { throw BlockError(.shot, "leg \(id.rawValue) of \(file.name) is out of service") }
    return try body(self)
  }
}
