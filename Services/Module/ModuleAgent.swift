import Glibc
import HardwareAPI
import Logging
import Primitives
import RPC
import RPCSocket
import Synchronization
import Systemd

/// The agent of a CPU module: while it is heard, the module lives.
///
/// Its connection to the supervisor and its beats are what the supervisor goes by. When the supervisor fails over, the
/// agent attaches to the next one, as the same incarnation.
struct ModuleAgent {
  let module: ModuleID
  let socket: String
  let notifier: Notifier
  let logger: Logger
  let incarnation = GenerationID.random()
  let pulse = Pulse()

  /// Pauses between attempts to attach: while the supervisor fails over, and when it refuses.
  static let firstPause = Duration.milliseconds(1)
  static let lastPause = Duration.milliseconds(20)
  static let refusedPause = Duration.milliseconds(500)
  /// How long the last beat may take.
  static let lastWords = Duration.milliseconds(500)

  /// Attaches and beats, for ever.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.watch() }
      group.addTask { await self.attachAgain() }
    }
  }

  /// Says that this agent was told to end, where somebody listens.
  func sayLast() async {
    guard let client = pulse.client else { return }
    let last = SendHeartbeat.Params(module: module, incarnation: incarnation, sequence: .max, isLast: true)
    _ = try? await client.call(SendHeartbeat.self, last, timeout: Self.lastWords)
  }

  private func attachAgain() async {
    var pause = Self.firstPause
    var lastProblem = ""
    while true {
      do {
        try await attach()
        pause = Self.firstPause
      } catch {
        let isRefusal = (error as? RPCError).map { $0.matches(CommonFailure.forbidden) } ?? false
        if "\(error)" != lastProblem { logger.log(level: isRefusal ? .error : .info, "Not attached: \(error)") }
        lastProblem = "\(error)"
        if pulse.wasAttached { pause = Self.firstPause }
        pause = isRefusal ? Self.refusedPause : min(pause * 2, Self.lastPause)
      }
      pulse.end()
      try? await Task.sleep(for: pause, tolerance: .zero)
    }
  }

  /// One connection, from its start to its end.
  private func attach() async throws {
    let client = try await RPCClient.connect(path: socket)
    defer { client.close() }
    pulse.client = client
    let instructions = try await client.subscribe(
      AttachModuleAgent.self,
      AttachModuleAgent.Params(module: module, incarnation: incarnation, processID: Int(getpid())))
    try await withThrowingTaskGroup(of: Void.self) { group in
      let beats = BeatInterval()
      group.addTask {
        for try await instruction in instructions {
          beats.set(.milliseconds(max(1, min(instruction.heartbeatIntervalMilliseconds, 10_000))))
        }
      }
      group.addTask { try await self.beat(client, beats) }
      defer { group.cancelAll() }
      // Whichever ends first: without the subscription, or without beats, this connection is of no use.
      try await group.next()
    }
  }

  private func beat(_ client: RPCClient, _ beats: BeatInterval) async throws {
    var sequence: Int64 = 0
    var next = ContinuousClock.now
    while true {
      guard let interval = beats.value else {
        try await Task.sleep(for: .milliseconds(5), tolerance: .zero)
        next = .now
        continue
      }
      try await client.notify(
        SendHeartbeat.self, SendHeartbeat.Params(module: module, incarnation: incarnation, sequence: sequence))
      if sequence == 0 {
        logger.info("Attached to the supervisor; a beat every \(interval).")
        notifier.send(.ready, .status("attached, a beat every \(interval)"))
      }
      sequence &+= 1
      pulse.beat(interval)
      // After a delay the beat goes on from now: beats that were missed are not sent in a burst.
      next = max(next + interval, .now)
      try await Task.sleep(until: next, tolerance: .zero, clock: .continuous)
    }
  }

  /// Tells the manager that this process lives, as long as the beats that should be sent are sent.
  private func watch() async {
    guard let bound = notifier.watchdogInterval else { return }
    while true {
      if pulse.isRegular(within: bound / 2) { notifier.send(.watchdog) }
      try? await Task.sleep(for: bound / 4)
    }
  }
}

/// The interval that the supervisor wants, once it has told.
final class BeatInterval: Sendable {
  private let interval = Mutex<Duration?>(nil)
  var value: Duration? { interval.withLock { $0 } }
  func set(_ value: Duration) { interval.withLock { $0 = value } }
}

/// When the last beat was sent.
final class Pulse: Sendable {
  private struct State {
    var last: ContinuousClock.Instant?
    var interval = Duration.zero
    var wasAttached = false
    var client: RPCClient?
  }
  private let state = Mutex(State())

  func beat(_ interval: Duration) {
    state.withLock {
      $0.last = .now
      $0.interval = interval
      $0.wasAttached = true
    }
  }

  /// No beats are due until the next connection.
  func end() {
    state.withLock {
      $0.last = nil
      $0.wasAttached = false
      $0.client = nil
    }
  }

  /// The connection, while there is one.
  var client: RPCClient? {
    get { state.withLock { $0.client } }
    set { state.withLock { $0.client = newValue } }
  }

  /// Whether the connection that just ended had been of use.
  var wasAttached: Bool { state.withLock { $0.wasAttached } }

  /// Whether the beats that are due are sent, give or take.
  func isRegular(within slack: Duration) -> Bool {
    state.withLock { state in
      guard let last = state.last else { return true }
      return ContinuousClock.now - last <= state.interval + slack
    }
  }
}
