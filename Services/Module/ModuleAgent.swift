import Glibc
import HardwareAPI
import Logging
import Primitives
import RPC
import RPCSocket
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
  let incarnation: GenerationID
  let heart: Heart

  /// Pauses between attempts to attach: while the supervisor fails over, and when it refuses.
  static let firstPause = Duration.milliseconds(1)
  static let lastPause = Duration.milliseconds(20)
  static let refusedPause = Duration.milliseconds(500)
  /// How long the last beat may take.
  static let lastWords = Duration.milliseconds(500)

  init(module: ModuleID, socket: String, notifier: Notifier, logger: Logger) {
    self.module = module
    self.socket = socket
    self.notifier = notifier
    self.logger = logger
    incarnation = .random()
    heart = Heart(module: module, incarnation: incarnation) { interval in
      // Not on the thread that beats: the manager may let its listeners wait.
      Task {
        logger.info("Attached to the supervisor; a beat every \(interval).")
        notifier.send(.ready, .status("attached, a beat every \(interval)"))
      }
    }
  }

  /// Attaches and beats, for ever.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.watch() }
      group.addTask { await self.attachAgain() }
    }
  }

  /// Says that this agent was told to end, where somebody listens.
  func sayLast() async {
    guard let client = heart.client else { return }
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
        if heart.rest() { pause = Self.firstPause }
        pause = isRefusal ? Self.refusedPause : min(pause * 2, Self.lastPause)
      }
      heart.rest()
      try? await Task.sleep(for: pause, tolerance: .zero)
    }
  }

  /// One connection, from its start to its end.
  private func attach() async throws {
    let client = try await RPCClient.connect(path: socket)
    defer { client.close() }
    let instructions = try await client.subscribe(
      AttachModuleAgent.self,
      AttachModuleAgent.Params(module: module, incarnation: incarnation, processID: Int(getpid())))
    for try await instruction in instructions {
      heart.beat(over: client, every: .milliseconds(max(1, min(instruction.heartbeatIntervalMilliseconds, 10_000))))
    }
  }

  /// Tells the manager that this process lives, as long as the beats that should be sent are sent.
  private func watch() async {
    guard let bound = notifier.watchdogInterval else { return }
    while true {
      if heart.isRegular(within: bound / 2) { notifier.send(.watchdog) }
      try? await Task.sleep(for: bound / 3)
    }
  }
}
