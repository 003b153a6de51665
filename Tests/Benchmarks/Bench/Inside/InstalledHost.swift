import FTVSClient
import Foundation

/// The host that is installed on this machine's systemd.
struct InstalledHost: Sendable {
  struct Complaint: Error, CustomStringConvertible {
    var description: String
  }

  let client = FTVSHost()

  /// Waits until both pairs are duplex and each service has an active and a standby.
  func waitsInStep(seconds: Int = 60) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
      if await isInStep { return }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw Complaint(description: "the modules were not in step again after \(seconds) s")
  }

  private var isInStep: Bool {
    get async {
      guard let modules = try? await client.hardware.call(GetModules.self),
        modules.pairs.allSatisfy({ $0.state == .duplex }),
        let services = try? await client.hardware.call(GetServices.self)
      else { return false }
      return services.services.allSatisfy { service in
        Set(service.instances.map(\.state)) == [.active, .standby]
      }
    }
  }

  /// The module from which a service is served.
  func module(of service: ServiceName) async throws -> ModuleID {
    try await client[service].call(ServicePing.self).module
  }

  /// Kills everything on a module.
  func kill(_ module: ModuleID) throws {
    try Program.run("systemctl", "kill", "--signal=KILL", "ftvs-\(module.rawValue).slice")
  }

  private static let sockets = ["hardware", "vm", "storage", "nbd", "alerts"].map { "ftvs-\($0).socket" }

  /// Lifts the units' refusal to have their sockets stopped, on this throw-away host.
  func allowSocketsToStop() throws {
    for socket in Self.sockets {
      let directory = "/run/systemd/system/\(socket).d"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try "[Unit]\nRefuseManualStop=no\nStartLimitIntervalSec=0\n".write(
        toFile: "\(directory)/bench.conf", atomically: true, encoding: .utf8)
    }
    try Program.run("systemctl", "daemon-reload")
  }

  /// Stops everything and opens the sockets anew, as at the host's start. The old ones would not do: connections of clients that
  /// ended with the services wait in them, and would start others beside the one that is measured.
  func stopsAllButSockets() async throws {
    let services = ["module", "vm", "storage", "alerts", "hardware"].flatMap { name in
      ModuleID.all(of: .cpu).map { "ftvs-\(name)@\($0).service" }
    }
    let activators = ["vm", "storage", "alerts", "hardware"].map { "ftvs-\($0).service" }
    try Program.run(["systemctl", "stop"] + Self.sockets + services + activators)
    try Program.run(["systemctl", "start"] + Self.sockets)
    let units = services + activators
    let states = try Program.run(
      ["sh", "-c", "systemctl is-active \(units.joined(separator: " ")) || true"], capture: true)
    guard states.split(separator: "\n").allSatisfy({ $0 == "inactive" || $0 == "failed" }) else {
      throw Complaint(description: "the services could not be stopped: \(states)")
    }
    // What the end of so many units leaves to do for systemd and the journal is no part of a start.
    try await Task.sleep(for: .milliseconds(200))
  }

  /// Puts the counting guest on a library image with a differencing and an undo layer, and starts it.
  func startCountingGuest(_ directory: String, port: Int) async throws -> GuestObserver {
    // Guests may not look into every directory.
    let boot = "/var/lib/ftvs/boot"
    try FileManager.default.createDirectory(atPath: boot, withIntermediateDirectories: true)
    for file in ["vmlinux", "initrd", "disk.raw"] {
      try? FileManager.default.removeItem(atPath: "\(boot)/\(file)")
      try FileManager.default.copyItem(atPath: "\(directory)/\(file)", toPath: "\(boot)/\(file)")
    }
    let definition = try GuestDefinition.counting(boot: boot, port: port)
    let file = "/tmp/tiny.xml"
    try definition.write(toFile: file, atomically: true, encoding: .utf8)
    try Program.run("ftctl", "library", "import", "tiny", "\(boot)/disk.raw")
    try Program.run("ftctl", "volume", "create", "tiny-disk", "--image", "tiny", "--undo")
    try Program.run("ftctl", "vm", "define", file, "--autostart")
    try Program.run("ftctl", "vm", "start", "tiny")
    let observer = GuestObserver(port: port)
    observer.start()
    guard await observer.waits(above: 10, seconds: 120) else {
      throw Complaint(description: "the guest does not count: \(observer.now)")
    }
    return observer
  }
}
