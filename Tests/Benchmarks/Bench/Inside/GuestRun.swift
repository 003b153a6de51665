import FTVSClient
import Foundation

/// What happens to a guest: failures of its module, of storage under it, and nothing at all.
struct GuestRun {
  let host: InstalledHost
  let failures: Int
  let guest: String
  private static let phases = ["detect", "decide", "fence", "start"]

  func run() async throws -> Measurements {
    var found = Measurements()
    let observer = try await host.startCountingGuest(guest, port: 7777)
    try await moduleFailures(observer, &found)
    try await storageKills(observer, &found)
    // Else the guest would write at each of its questions.
    observer.stop()
    try await idle(&found)
    if let problem = observer.now.problem { found.problems.append("guest: \(problem)") }
    return found
  }

  // MARK: Failures

  private func moduleFailures(_ observer: GuestObserver, _ found: inout Measurements) async throws {
    for failure in 0..<failures {
      try await host.waitsInStep()
      let before = try await shown()
      guard let module = before.module else { throw complaint("the guest runs nowhere") }
      let acknowledged = observer.now.acknowledged
      try host.kill(module)
      let recovery = try await recovery(after: before.lastRecovery)
      guard await observer.waits(above: acknowledged, seconds: 120) else {
        throw complaint("the guest did not count again after failure \(failure + 1)")
      }
      let times = [
        recovery.detectMilliseconds, recovery.decideMilliseconds, recovery.fenceMilliseconds,
        recovery.startMilliseconds,
      ]
      for (phase, time) in zip(Self.phases, times) { found.samples["recovery.\(phase)", default: []].append(time) }
      found.samples["recovery", default: []].append(times.reduce(0, +))
      report(
        "failure \(failure + 1) of \(failures): \(module), "
          + zip(Self.phases, times).map { "\($0) \(BenchmarkRow.figure($1))" }.joined(separator: ", ")
          + " ms; guest at \(observer.now.acknowledged)")
    }
  }

  private func shown() async throws -> VMDetail {
    guard let name = VMName(rawValue: "tiny") else { throw complaint("no name") }
    return try await host.client.vm.call(ShowVM.self, .init(name: name))
  }

  private func recovery(after last: Recovery?) async throws -> Recovery {
    for _ in 0..<1_200 {
      if let recovery = try await shown().lastRecovery, recovery != last { return recovery }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw complaint("no record of the recovery within 60 s")
  }

  /// Both instances of storage are killed while the guest writes: to the guest that is a pause.
  private func storageKills(_ observer: GuestObserver, _ found: inout Measurements) async throws {
    let failovers = try await shown().failovers
    for kill in 0..<failures {
      try await host.waitsInStep()
      observer.forgetSilence()
      let before = observer.now.acknowledged
      try Program.run("systemctl", "kill", "--signal=KILL", "ftvs-storage@cpu0.service", "ftvs-storage@cpu1.service")
      guard await observer.waits(above: before + 2, seconds: 60) else {
        throw complaint("the guest does not write after storage was killed (\(kill + 1))")
      }
      found.samples["storageKill.silence", default: []].append(observer.now.longestSilence)
    }
    let after = try await shown()
    let paused =
      try await host.client.alerts.call(
        method: "alert.list", params: ["kind": "vmPaused", "limit": 10], effect: .read)["alerts"]?.array ?? []
    found.count("storageKill.errors", paused.count + after.failovers - failovers)
    report("storage killed \(failures) times under the writing guest: \(paused.count) I/O errors")
  }

  // MARK: Idle

  /// What the services take while a guest runs and nobody asks anything.
  private func idle(_ found: inout Measurements) async throws {
    try await host.waitsInStep()
    try Program.run("ftctl", "vm", "shutdown", "tiny")
    try Program.run("ftctl", "vm", "start", "tiny")
    try await Task.sleep(for: .seconds(8))
    let units = ServiceName.allCases.flatMap { service in
      ModuleID.all(of: .cpu).map { "ftvs-\(service)@\($0).service" }
    }
    let before = try units.map(Usage.init)
    let seconds = 10.0
    try await Task.sleep(for: .seconds(seconds))
    for (unit, old) in zip(units, before) {
      let new = try Usage(unit: unit)
      guard new.process == old.process else { throw complaint("\(unit) was restarted while nothing happened") }
      let name = unit.split(separator: "@").first.map { String($0.dropFirst("ftvs-".count)) } ?? unit
      found.samples["idle.memory.\(name)", default: []].append(new.mebibytes)
      found.samples["idle.processor.\(name)", default: []].append((new.seconds - old.seconds) / seconds * 100)
    }
  }

  private func complaint(_ text: String) -> InstalledHost.Complaint { InstalledHost.Complaint(description: text) }
}

/// What a unit's main process takes.
private struct Usage {
  let process: Int
  /// Resident set.
  let mebibytes: Double
  /// Processor time since its start.
  let seconds: Double

  init(unit: String) throws {
    let text = try Program.run("systemctl", "show", "--value", "--property=MainPID", unit, capture: true).trimmed
    let status = try String(contentsOfFile: "/proc/\(text)/status", encoding: .utf8)
    let stat = try String(contentsOfFile: "/proc/\(text)/stat", encoding: .utf8)
    guard let process = Int(text),
      let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
      let kibibytes = Double(line.split(separator: " ").dropFirst().first ?? line.split(separator: "\t")[1])
        ?? Double(line.filter(\.isNumber)),
      let fields = stat.split(separator: ")").last?.split(separator: " "), fields.count > 12,
      let user = Double(fields[11]), let system = Double(fields[12])
    else { throw InstalledHost.Complaint(description: "\(unit) has no process that can be looked at") }
    self.process = process
    mebibytes = kibibytes / 1024
    seconds = (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}
