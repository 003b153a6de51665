import GRDB
import Logging
import Primitives
import RPC
import ServiceAPI
import Synchronization

/// The control state of a service: small, in SQLite, on both legs, and durable on every leg in step before anything is
/// answered from it. It survives the loss of either leg at any instruction.
///
/// Only the active instance opens it; a standby opens nothing. How the legs are kept in step is told in
/// `LegDatabase.swift`.
public final class ControlState: Sendable {
  private let thread: SerialThread
  private let engine: EngineBox
  private let published: PublishedLegs
  private let watcher: LegWatcher

  /// Finds out which leg is right, starts from it and raises the epoch durably.
  ///
  /// Throws when no leg is right beyond doubt; `ControlStateError.explanation` says what to do. The leg that is not in
  /// step is resynced in the background.
  public static func open(
    _ configuration: Configuration, logger: Logger
  ) async throws(ControlStateError) -> ControlState {
    let state = ControlState(configuration, logger)
    let failure = await state.onThread { engine -> ControlStateError? in
      do throws(ControlStateError) {
        try engine.open()
        return nil
      } catch {
        return error
      }
    }
    switch failure {
    case .some(nil):
      state.watcher.start()
      return state
    case .some(let error?):
      await state.close()
      throw error
    case nil: throw .unavailable(explanation: "The state was closed while it was opened.")
    }
  }

  private init(_ configuration: Configuration, _ logger: Logger) {
    let thread = SerialThread(name: "ftvs-state")
    let published = PublishedLegs()
    let box = EngineBox()
    box.engine = Engine(configuration, logger, published) { [weak box] job in
      guard let box else { return }
      thread.enqueue { if let engine = box.engine { job(engine) } }
    }
    self.thread = thread
    self.published = published
    engine = box
    watcher = LegWatcher(configuration, published) { [weak box] in
      guard let box else { return }
      thread.enqueue { box.engine?.lookAtLegs(evenIfEarly: false) }
    }
  }

  deinit {
    watcher.stop()
    let engine = engine
    thread.enqueue { engine.engine?.close() }
    thread.stop()
  }

  /// Number of times that the state was opened to serve since the host was set up.
  public var epoch: Int64 { published.epoch }

  /// Reads. Errors of the kind `RPCError` that the body throws are passed on.
  public func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(RPCError) -> T {
    try await attempt { engine throws(RPCError) in try engine.read(body) }
  }

  /// Changes the state: durable on every leg in step when it returns. A body that throws is rolled back, and an
  /// `RPCError` passed on. It may run more than once when a leg fails or hangs, also at the same time, so it must have no
  /// effect beside the transaction.
  public func write<T: Sendable>(
    _ body: @escaping @Sendable (inout Transaction) throws -> T
  ) async throws(RPCError) -> T {
    try await attempt { engine throws(RPCError) in try engine.write(body) }
  }

  /// The legs now.
  public func legs() -> [LegStatus] { published.legs }

  /// The legs now and after each change; a slow reader gets the newest.
  public func legChanges() -> AsyncStream<[LegStatus]> { published.changes() }

  /// Drops a leg: when this returns, the other one knows it durably. Throws `stateUnavailable` for the last one.
  public func dropLeg(_ leg: LegID, reason: String) async throws(RPCError) {
    try await attempt { engine throws(RPCError) in
      if engine.inStep.map(\.leg) == [leg] {
        throw RPCError(
          CommonFailure.stateUnavailable, "Leg \(leg.rawValue) is the only one in step; bring the other one back first."
        )
      }
      try engine.drop(leg, reason: reason)
    }
  }

  /// Looks at shot marks and directories now, and begins to resync a leg that is back, however lately it failed.
  public func checkLegs() async {
    _ = await onThread { engine in engine.lookAtLegs(evenIfEarly: true) }
  }

  /// Closes the databases; every later call answers `stopping`.
  public func close() async {
    watcher.stop()
    _ = await onThread { engine in engine.close() }
    published.end()
  }

  func attempt<T: Sendable>(
    _ body: @escaping @Sendable (Engine) throws(RPCError) -> T
  ) async throws(RPCError) -> T {
    let result = await onThread { engine -> Result<T, RPCError> in
      do throws(RPCError) {
        return .success(try body(engine))
      } catch {
        return .failure(error)
      }
    }
    guard let result else { throw RPCError(CommonFailure.stopping, "The service is handing over; repeat the call.") }
    return try result.get()
  }

  private func onThread<T: Sendable>(_ body: @escaping @Sendable (Engine) -> T) async -> T? {
    let box = engine
    return await thread.result { box.engine.map(body) } ?? nil
  }
}

/// Carries the engine between the jobs of the state's thread.
///
/// Unchecked: `engine` is set once before the box is shared, and used only in jobs of the one thread.
private final class EngineBox: @unchecked Sendable {
  var engine: Engine?
}

extension Engine {
  func close() {
    guard !isClosed else { return }
    isClosed = true
    resync?.end()
    resync = nil
    for leg in inStep { leg.close() }
    inStep = []
    for thread in threads.values { thread.end() }
  }
}
