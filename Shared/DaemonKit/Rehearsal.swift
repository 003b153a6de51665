import AlertAPI
import ControlState
import FTVSClient
import FoundationEssentials
import Glibc
import HostConfiguration
import Logging
import Primitives
import RPC
import RPCSocket

/// A takeover in miniature, on directories of its own: state is opened, the service is made of it, and a client calls it.
///
/// Code that runs for the first time costs tens of milliseconds: pages are mapped, generic types are made, conformances are looked up.
/// A standby pays for that before it says that it is ready, so that clients do not after a failure. Nothing of the host is
/// changed, and a rehearsal that fails makes a takeover slower, not wrong.
struct Rehearsal {
  let description: DaemonDescription
  let process: DaemonProcess

  /// Returns when it is over, one way or the other.
  func run() async {
    guard let rehearse = description.rehearse, let directory = Self.makeDirectory() else { return }
    defer { Self.remove(directory) }
    do {
      try await run(rehearse, in: directory)
    } catch {
      process.logger.debug("The rehearsal of a takeover was not completed: \(error)")
    }
  }

  private func run(_ rehearse: DaemonDescription.Rehearse, in directory: String) async throws {
    let paths = HostPaths(configuration(in: directory))
    for directory in [paths.run] + paths.legs.values { mkdir(directory, 0o700) }
    let silent = Logger(label: "rehearsal", factory: { _ in SwiftLogNoOpLogHandler() })
    let state = try await ControlState.open(
      ControlState.Configuration(
        service: description.service,
        legDirectories: Dictionary(
          uniqueKeysWithValues: LegID.allCases.map { ($0, paths.state(description.service, on: $0)) }),
        witness: paths.witness(description.service), shotMarks: [:], migrations: description.migrations),
      logger: silent)
    do {
      let alerts = AlertPublisher(
        directory: paths.spool(description.service), service: description.service, logger: silent)
      let service = try await rehearse(
        Activation(
          module: process.module, configuration: configuration(in: directory), paths: paths, state: state,
          alerts: alerts,
          host: Host(runDirectory: paths.run), listeners: [:], logger: silent, epoch: state.epoch))
      try await call(service, state, alerts, paths.socket(description.service), silent)
      await service.end()
    } catch {
      await state.close()
      throw error
    }
    await state.close()
  }

  /// Serves it on a socket of its own to a client of its own.
  private func call(
    _ service: RehearsedService, _ state: ControlState, _ alerts: AlertPublisher, _ path: String, _ logger: Logger
  ) async throws {
    let instance = Instance(service: description.service, module: process.module)
    instance.control = state
    instance.becomeActive()
    var router = service.router
    ServiceMethods(
      instance: instance, alerts: alerts, requests: RequestCounter(), metrics: { [] },
      force: { _ throws(RPCError) in instance.status() }
    ).add(to: &router)
    // What becomes active also tells the alert bus, which is nobody else's here.
    if description.service != .alerts {
      router.serve(AppendAlerts.self) { params, _ in AppendAlerts.Result(sequences: params.alerts.map { _ in 0 }) }
    }
    guard let listener = UnixSocket.listen(path) else { return }
    defer { close(listener) }
    let server = RPCServer(listener: listener, router: router, policy: .sameUserIsEverything(), logger: logger)
    let serving = Task { try await server.run() }
    let client = ServiceClient(socketPath: path, deadline: .seconds(2))
    for (method, params) in [("service.ping", [:]), ("service.status", [:])] + service.calls {
      _ = try? await client.call(method: method, params: params, effect: nil)
    }
    await publish(alerts, client)
    client.close()
    server.stop()
    _ = try? await serving.value
  }

  private func publish(_ alerts: AlertPublisher, _ bus: ServiceClient) async {
    let sending = Task { await alerts.send(to: bus) }
    defer { sending.cancel() }
    alerts.publish(
      .info, kind: "rehearsal", subject: description.service.rawValue, message: "A rehearsal.", data: ["epoch": 1])
    await alerts.flush()
    for _ in 0..<100 where alerts.spooledCount > 0 { try? await Task.sleep(for: .milliseconds(5)) }
  }

  // MARK: Directories

  private func configuration(in directory: String) -> HostConfiguration {
    // All else as it is: a lab's unit manager is the lab's in its rehearsal, too.
    var configuration = process.configuration
    configuration.runDirectory = "\(directory)/run"
    configuration.legIO0 = "\(directory)/io0"
    configuration.legIO1 = "\(directory)/io1"
    configuration.localDirectory = "\(directory)/local"
    return configuration
  }

  private static func makeDirectory() -> String? {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/ftvs-rehearsal-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { return nil }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func remove(_ directory: String) { try? FileManager.default.removeItem(atPath: directory) }
}

/// A service that is made for a rehearsal.
public struct RehearsedService: Sendable {
  public var router: Router
  /// Methods that are called of it, with their parameters.
  public var calls: [(method: String, params: JSONValue)]
  /// Ends what it runs in the background.
  public var end: @Sendable () async -> Void

  public init(
    router: Router, calls: [(method: String, params: JSONValue)], end: @escaping @Sendable () async -> Void = {}
  ) {
    self.router = router
    self.calls = calls
    self.end = end
  }
}
