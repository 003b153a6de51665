import AlertAPI
import ControlState
import Foundation
import HostConfiguration
import Logging
import Primitives
import RPC
import Synchronization
import VMAPI
import VMMonitorCore

/// A host in a temporary directory, with monitors that come and go.
final class Bench: Sendable {
  let host: FakeHost
  let directory: String
  let alerts = Mutex<[(kind: String, subject: String, data: [String: JSONValue])]>([])
  let boot = Mutex("boot 1")
  /// How long legs are waited for.
  let legAnswer: Duration

  init(legAnswer: Duration = .milliseconds(200)) throws {
    self.legAnswer = legAnswer
    directory = NSTemporaryDirectory() + "ftvs-vm-" + UUID().uuidString
    host = FakeHost(shotMarks: directory + "/run/shot")
    for folder in ["run/shot", "io0/vm", "io1/vm", "local/vm"] {
      try FileManager.default.createDirectory(atPath: "\(directory)/\(folder)", withIntermediateDirectories: true)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: directory) }

  var configuration: HostConfiguration {
    var configuration = HostConfiguration()
    configuration.runDirectory = "\(directory)/run"
    configuration.legIO0 = "\(directory)/io0"
    configuration.legIO1 = "\(directory)/io1"
    configuration.localDirectory = "\(directory)/local"
    return configuration
  }

  /// A monitor that has become active.
  func monitor(_ life: Life = Life(), on module: ModuleID = .cpu0) async throws -> RunningMonitor {
    let state = try await openState()
    let monitor = VMMonitor(environment(state, life, module))
    try await monitor.load()
    let task = Task { try await monitor.run() }
    let router = VMService.router(monitor, version: "test")
    return RunningMonitor(
      monitor: monitor, client: RouterCaller(router, as: .root), life: life, state: state, task: task)
  }

  private func openState() async throws -> ControlState {
    let paths = HostPaths(configuration)
    return try await ControlState.open(
      ControlState.Configuration(
        service: .vm, legDirectories: [.io0: paths.state(.vm, on: .io0), .io1: paths.state(.vm, on: .io1)],
        witness: paths.witness(.vm), shotMarks: [:], migrations: VMMonitor.migrations, force: nil, resyncData: nil),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  private func environment(_ state: ControlState, _ life: Life, _ module: ModuleID) -> MonitorEnvironment {
    var timing = MonitorTiming()
    timing.answerTime = .seconds(2)
    timing.legAnswer = legAnswer
    timing.reconcilePause = .milliseconds(5)
    timing.placePatience = .milliseconds(200)
    timing.releasePatience = .milliseconds(200)
    timing.lookAgain = .milliseconds(20)
    timing.firstBackoff = .milliseconds(5)
    timing.longestBackoff = .milliseconds(50)
    timing.lifeSign = .milliseconds(20)
    timing.sampleInterval = .seconds(3600)
    timing.agentAnswer = .milliseconds(200)
    timing.agentShutdown = .milliseconds(50)
    return MonitorEnvironment(
      state: state, units: FakeUnits(host: host, life: life), engine: FakeEngine(host: host, life: life), consoles: nil,
      hardware: host.hardware(life), storage: host.storage(life),
      publish: { [weak self] _, kind, subject, _, data in self?.alerts.withLock { $0.append((kind, subject, data)) } },
      paths: HostPaths(configuration), module: module, bootIdentity: boot.withLock(\.self),
      guestUser: { _ in 1000 }, timing: timing, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  func kinds(about subject: String = "a") -> [String] {
    alerts.withLock { $0.filter { $0.subject == subject }.map(\.kind) }
  }

  static func definition(_ name: String = "a", uuid: String? = nil, protection: String = "restart", extra: String = "")
    -> String
  {
    """
    <domain type='kvm'>
      <name>\(name)</name>
      \(uuid.map { "<uuid>\($0)</uuid>" } ?? "")
      <metadata><f:protection xmlns:f='urn:ftvs:domain:1' level='\(protection)'/></metadata>
      <memory unit='MiB'>128</memory>
      <os><type arch='x86_64'>hvm</type></os>
      \(extra)
      <devices>
        <disk type='volume' device='disk'>
          <source pool='ftvs' volume='\(name)-disk'/>
          <target dev='vda' bus='virtio'/>
        </disk>
        <serial type='pty'/>
      </devices>
    </domain>
    """
  }
}

/// A monitor at work.
struct RunningMonitor: Sendable {
  let monitor: VMMonitor
  let client: RouterCaller
  let life: Life
  let state: ControlState
  let task: Task<Void, any Error>

  /// Kills it, as its module's loss would: nothing that it does from now on has an effect.
  func kill() async {
    life.end(after: 0)
    task.cancel()
    await state.close()
  }

  func define(_ definition: String, autostart: Bool? = nil) async throws {
    _ = try await client.call(DefineVM.self, .init(definition: definition, autostart: autostart))
  }

  @discardableResult func start(_ name: String = "a", on module: ModuleID? = .cpu0) async throws -> VMSummary {
    try await client.call(StartVM.self, .init(name: VMName(unchecked: name), module: module))
  }

  func show(_ name: String = "a") async throws -> VMDetail {
    try await client.call(ShowVM.self, .init(name: VMName(unchecked: name)))
  }

  func availability(_ name: String = "a") async throws -> VMAvailability {
    try await client.call(GetVMAvailability.self, .init(name: VMName(unchecked: name))).vms[0]
  }

  /// Waits until a machine is as wanted.
  @discardableResult func until(
    _ name: String = "a", _ isWanted: @Sendable (VMSummary) -> Bool
  ) async throws -> VMSummary {
    for try await event in try await client.subscribe(FollowVMs.self) where event.vm.name.rawValue == name {
      if isWanted(event.vm) { return event.vm }
    }
    throw RPCError(CommonFailure.connectionLost, "the monitor ended")
  }
}

/// After how many calls to the outside a monitor is killed.
enum CutOffs {
  /// Every sixth of them, others in each run; all where `FTVS_EVERY_CUT_OFF` is set.
  static func some(of count: Int) -> [Int] {
    guard ProcessInfo.processInfo.environment["FTVS_EVERY_CUT_OFF"] == nil else { return Array(0..<count) }
    return Array(stride(from: Int.random(in: 0..<6), to: count, by: 6))
  }
}

/// Returns when the first of both is done.
func either(_ first: @escaping @Sendable () async -> Void, _ second: @escaping @Sendable () async -> Void) async {
  let (stream, continuation) = AsyncStream<Void>.makeStream()
  for body in [first, second] {
    Task {
      await body()
      continuation.yield()
    }
  }
  for await _ in stream { return }
}
