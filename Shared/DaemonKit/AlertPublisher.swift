import AlertAPI
import Logging
import Primitives
import RPC
import Synchronization

/// Publishes alerts of a service: at once into a bounded spool on disk, and from there to the alert bus whenever that answers.
///
/// An alert has a key, so that it is recorded once, however often it is sent.
public final class AlertPublisher: Sendable {
  /// The spool, which lives on the thread.
  ///
  /// @unchecked: made before the thread knows it, and then used by work of that one thread only.
  private final class SpoolBox: @unchecked Sendable {
    let spool: AlertSpool

    init(_ spool: AlertSpool) { self.spool = spool }
  }

  private let service: ServiceName
  private let logger: Logger
  private let thread: SerialThread
  private let box: SpoolBox
  private let waitingCount = Mutex(0)
  /// Alerts on their way to the spool's thread; a disk that hangs must not fill the memory.
  private let underWay = Mutex(0)
  private let (news, newsContinuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

  /// - Parameters:
  ///   - directory: Where alerts wait for the bus; shared by both instances of the service.
  public convenience init(directory: String, service: ServiceName, logger: Logger) {
    self.init(
      directory: directory, service: service, logger: logger,
      limits: (DaemonLimits.spooledAlerts, DaemonLimits.spooledBytes))
  }

  init(directory: String, service: ServiceName, logger: Logger, limits: (count: Int, bytes: Int)) {
    self.service = service
    self.logger = logger
    thread = SerialThread(name: "ftvs-spool")
    box = SpoolBox(
      AlertSpool(
        directory: directory, service: service, limits: limits, now: wallClockMilliseconds,
        report: { logger.error("\($0)") }))
  }

  deinit { thread.stop() }

  /// Publishes an alert. Never waits, never fails: what the spool cannot hold is dropped, the least severe first, and that is told
  /// by an alert of its own.
  ///
  /// - Parameters:
  ///   - kind: Stable word for what happened, camelCase.
  ///   - subject: Name of the module, leg, volume or virtual machine.
  ///   - message: A sentence for people, with what to do.
  public func publish(
    _ severity: Severity, kind: String, subject: String, message: String, data: [String: JSONValue] = [:]
  ) {
    let time = wallClockMilliseconds()
    let alert = bounded(
      NewAlert(
        key: .random(millisecondsSinceEpoch: time), timeMilliseconds: time, severity: severity, source: service,
        kind: kind, subject: subject, message: String(message.prefix(DaemonLimits.alertMessageCharacters)),
        data: data))
    logger.log(level: severity.logLevel, "\(alert.message)", metadata: ["alert": "\(kind)", "subject": "\(subject)"])
    let hasRoom = underWay.withLock { count in
      guard count < DaemonLimits.spooledAlerts else { return false }
      count += 1
      return true
    }
    guard hasRoom else { return logger.error("The alert spool's disk hangs; an alert was logged only.") }
    onSpool { [self] spool in
      underWay.withLock { $0 -= 1 }
      spool.append(alert)
    }
  }

  /// Waits until what was published before is on disk.
  public func flush() async { _ = await thread.result(of: {}) }

  /// Alerts that the bus does not have yet.
  public var spooledCount: Int { waitingCount.withLock { $0 } }

  // MARK: Sending

  /// Sends what waits, oldest first, and then each new alert, until the task is cancelled. Only the holder of the lease does, and
  /// once in a process's life.
  func send(to bus: any RPCCaller) async {
    onSpool { $0.load() }
    var pause = DaemonLimits.alertRetry.first
    var iterator = news.makeAsyncIterator()
    while !Task.isCancelled {
      let batch = await oldest(DaemonLimits.alertsPerCall)
      if batch.isEmpty {
        await iterator.next()
      } else if await isSent(batch, to: bus) {
        pause = DaemonLimits.alertRetry.first
      } else {
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, DaemonLimits.alertRetry.last)
      }
    }
  }

  /// Sends a batch; false when it has to be sent again later.
  private func isSent(_ batch: [NewAlert], to bus: any RPCCaller) async -> Bool {
    do throws(RPCError) {
      _ = try await bus.call(AppendAlerts.self, .init(alerts: batch))
    } catch  where Self.isRefusal(error) && batch.count > 1 {
      // One of them is not acceptable: the others must not wait for it.
      for alert in batch where !(await isSent([alert], to: bus)) { return false }
      return true
    } catch  where Self.isRefusal(error) {
      logger.error("The alert bus refused an alert: \(error.message)", metadata: ["alert": "\(batch[0].kind)"])
    } catch {
      logger.debug("The alert bus does not answer: \(error.message)")
      return false
    }
    let keys = Set(batch.map(\.key))
    _ = await thread.result { [self] in withSpool { $0.remove(keys) } }
    return true
  }

  private static func isRefusal(_ error: RPCError) -> Bool {
    error.matches(AlertFailure.alertTooLarge) || error.matches(CommonFailure.invalidParams)
  }

  private func oldest(_ count: Int) async -> [NewAlert] {
    await thread.result { [self] in withSpool { $0.oldest(count) } } ?? []
  }

  // MARK: The thread

  private func onSpool(_ body: @escaping @Sendable (AlertSpool) -> Void) {
    thread.enqueue { [self] in
      withSpool(body)
      newsContinuation.yield()
    }
  }

  /// On the spool's thread only.
  private func withSpool<R>(_ body: (AlertSpool) -> R) -> R {
    defer {
      let count = box.spool.count
      waitingCount.withLock { $0 = count }
    }
    return body(box.spool)
  }

  /// The alert without its facts where they are too long.
  private func bounded(_ alert: NewAlert) -> NewAlert {
    var alert = alert
    alert.kind = String(alert.kind.prefix(100))
    alert.subject = String(alert.subject.prefix(200))
    guard let json = try? WireCoder.encode(alert), JSON.bytes(json).count <= DaemonLimits.alertBytes else {
      alert.data = ["leftOut": "The facts were too long."]
      return alert
    }
    return alert
  }
}

extension Severity {
  fileprivate var logLevel: Logger.Level {
    switch self {
    case .info: .info
    case .warning: .warning
    case .error: .error
    case .critical: .critical
    }
  }
}
