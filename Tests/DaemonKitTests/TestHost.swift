import FTVSClient
import Foundation
import HostConfiguration
import Logging
import ServiceLifecycle
import Systemd
import Testing

@testable import DaemonKit

/// A host in a directory: two legs, a listening socket, and as many instances as a test starts, all in this process.
final class TestHost: Sendable {
  let folder: Folder
  let configuration: HostConfiguration
  let listener: Int32
  let client: ServiceClient

  var paths: HostPaths { HostPaths(configuration) }

  init() throws {
    folder = try Folder()
    var configuration = HostConfiguration()
    configuration.runDirectory = folder.path + "/run"
    configuration.legIO0 = folder.path + "/io0"
    configuration.legIO1 = folder.path + "/io1"
    configuration.localDirectory = folder.path + "/local"
    configuration.labSocket = folder.path + "/run/lab.sock"
    self.configuration = configuration
    for name in ["run", "io0", "io1"] { try folder.makeDirectory(name) }
    let path = HostPaths(configuration).socket(.vm)
    listener = try Self.listen(path)
    client = ServiceClient(socketPath: path, deadline: .seconds(60))
  }

  deinit { close(listener) }

  private static func listen(_ path: String) throws -> Int32 {
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0 && Glibc.listen(listener, 4_096) == 0)
    return listener
  }

  /// Serves an alert bus on this host's socket until the task is cancelled.
  func serveAlerts(_ bus: FakeBus) throws -> Task<Void, any Error> {
    let listener = try Self.listen(paths.socket(.alerts))
    return Task {
      defer { close(listener) }
      let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
      try await RPCServer(listener: listener, router: bus.router, policy: .sameUserIsEverything(), logger: logger).run()
    }
  }

  /// Starts an instance; `activate` makes the service, one without methods when left out, and `rehearse` that of a standby's
  /// rehearsal.
  func start(
    _ module: ModuleID, notifier: Notifier = Notifier(environment: [:], processID: 0),
    activate: @escaping @Sendable (Activation) async throws -> ActiveService = { _ in
      ActiveService(router: Router(title: "test", version: "1"))
    }, rehearse: DaemonDescription.Rehearse? = nil
  ) -> RunningInstance {
    let descriptor = dup(listener)
    let process = DaemonProcess(
      module: module, configuration: configuration, listeners: ["vm": descriptor],
      notifier: notifier,
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    let description = DaemonDescription(
      service: .vm, migrations: ["CREATE TABLE thing (name TEXT PRIMARY KEY)"], rehearse: rehearse)
    let group = Daemon.group(description, process, signals: [], activate: activate)
    let task = Task {
      defer { close(descriptor) }
      try await group.run()
    }
    return RunningInstance(group: group, task: task)
  }
}

/// An instance that was started.
struct RunningInstance: Sendable {
  let group: ServiceGroup
  let task: Task<Void, any Error>

  /// Ends it as SIGTERM does, and waits for it.
  func stop() async throws {
    await group.triggerGracefulShutdown()
    try await task.value
  }
}
