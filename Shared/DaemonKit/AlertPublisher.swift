import AlertAPI
import Logging
import Primitives
import RPC

/// TEMPORARY
public final class AlertPublisher: Sendable {
  let logger: Logger
  public init(service: ServiceName, directory: String, caller: any RPCCaller, logger: Logger) { self.logger = logger }
  public func publish(
    _ severity: Severity, kind: String, subject: String, message: String, data: [String: JSONValue] = [:]
  ) { logger.notice("\(kind) \(subject): \(message)") }
  public func run() async { while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) } }
}
