import FTVSClient
import Foundation

/// Kills modules under clients that call without pause.
struct FailoverRun {
  let host: InstalledHost
  let kills: Int
  let guest: String
  private static let clients = 8
  private static let burst = 50

  func run() async throws -> Measurements {
    var found = Measurements()
    try Program.run("systemctl", "start", "ftvs-pair.socket", "ftvs-pair@cpu0.service", "ftvs-pair@cpu1.service")
    try await coldStarts(&found)
    let observer = try await host.startCountingGuest(guest, port: 7777)
    try await killsInStep(observer, &found)
    try await burst(observer, &found)
    guard await observer.waits(above: observer.now.acknowledged, seconds: 120) else {
      throw InstalledHost.Complaint(description: "the guest did not come back: \(observer.now)")
    }
    observer.stop()
    found.count("guest.acknowledged", observer.now.acknowledged)
    if let problem = observer.now.problem { found.problems.append("guest: \(problem)") }
    return found
  }

  // MARK: Kills

  /// Alternating modules, the next as soon as both are in step again; a trivial pair dies with them.
  private func killsInStep(_ observer: GuestObserver, _ found: inout Measurements) async throws {
    let load = Load("kills", clients: Self.clients)
    load.start()
    for kill in 0..<kills {
      try await host.waitsInStep()
      // Nobody else brings the trivial pair into step again after its module was isolated.
      try Program.run("systemctl", "start", "ftvs-pair@cpu0.service", "ftvs-pair@cpu1.service")
      let module = try await host.module(of: .hardware)
      let begin = ContinuousClock.now
      try host.kill(module)
      // What is asked at once would be answered beside the takeovers, and take processors from them.
      try await Task.sleep(for: .milliseconds(300))
      try await host.waitsInStep()
      let inStep = (ContinuousClock.now - begin) / .milliseconds(1)
      found.samples["inStep", default: []].append(inStep)
      report(
        "kill \(kill + 1) of \(kills): \(module), in step again after \(Int(inStep)) ms, guest at \(observer.now.acknowledged)"
      )
    }
    load.finish(into: &found, prefix: "")
    try await activations(&found)
    await Verification(host: host, found: load.effects).check(&found)
  }

  /// How long each takeover took from the lease to the first accepted client, as the services tell.
  private func activations(_ found: inout Measurements) async throws {
    var after: Int64 = 0
    while true {
      let page =
        try await host.client.alerts.call(
          method: "alert.list", params: ["afterSequence": .integer(after), "limit": 1000, "kind": "serviceActive"],
          effect: .read)["alerts"]?.array ?? []
      guard let last = page.last?["sequence"]?.integer else { return }
      for alert in page {
        if let service = alert["subject"]?.string, let time = alert["data"]?["activationMilliseconds"]?.integer {
          found.samples["activation.\(service)", default: []].append(Double(time))
        }
      }
      after = last
    }
  }

  /// Without waiting: both modules may be down at once, so that activation has to start the services.
  private func burst(_ observer: GuestObserver, _ found: inout Measurements) async throws {
    let load = Load("burst", clients: Self.clients)
    load.start()
    let count = max(5, min(Self.burst, kills / 4))
    for kill in 0..<count {
      try host.kill(kill.isMultiple(of: 2) ? .cpu0 : .cpu1)
      try await Task.sleep(for: .milliseconds(.random(in: 5...20)))
    }
    try await host.waitsInStep()
    report("\(count) kills in a burst: in step again")
    load.finish(into: &found, prefix: "burst.")
    await Verification(host: host, found: load.effects).check(&found)
  }

  // MARK: Cold start

  /// Nothing runs but the sockets: the first client's connection starts the service.
  private func coldStarts(_ found: inout Measurements) async throws {
    try host.allowSocketsToStop()
    for service in ServiceName.allCases {
      for _ in 0..<max(3, kills / 20) {
        try await host.waitsInStep()
        try await host.stopsAllButSockets()
        let begin = ContinuousClock.now
        _ = try await FTVSHost()[service].call(ServicePing.self)
        found.samples["coldStart.\(service)", default: []].append((ContinuousClock.now - begin) / .milliseconds(1))
        try Program.run("systemctl", "start", "ftvs.target")
      }
    }
  }
}

/// Tells a person that it goes on.
func report(_ line: String) { FileHandle.standardError.write(Data("  \(line)\n".utf8)) }
