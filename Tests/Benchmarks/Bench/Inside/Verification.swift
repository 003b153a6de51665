import FTVSClient

/// Whether what was acknowledged is there, once, and a repeat with the same key is answered alike.
struct Verification {
  let host: InstalledHost
  let found: [ServiceName: [Lane.Record]]

  func check(_ measurements: inout Measurements) async {
    for service in ServiceName.allCases {
      let effects = (found[service] ?? []).reduce(into: [String: JSONValue]()) { $0.merge($1.effects) { $1 } }
      measurements.count("effects", effects.count)
      let problems: [String]
      do {
        switch service {
        case .alerts: problems = try await alerts(effects)
        case .storage:
          let names = try await host.client.storage.call(method: "volume.list", params: [:], effect: .read)["volumes"]
          problems = missing(effects, in: names?.array?.compactMap { $0["volume"]?.string } ?? [])
        case .vm:
          let names = try await host.client.vm.call(method: "vm.list", params: [:], effect: .read)["vms"]
          problems = missing(effects, in: names?.array?.compactMap { $0["name"]?.string } ?? [])
        case .hardware: problems = []
        }
        measurements.count("lost", problems.count)
        measurements.problems += problems.prefix(5)
        try await repeats(service, &measurements)
      } catch {
        measurements.problems.append("\(service): the check failed: \(error)")
      }
    }
  }

  private func missing(_ effects: [String: JSONValue], in names: [String]) -> [String] {
    let times = Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +)
    return effects.keys.filter { times[$0] != 1 }.map { "\($0) was acknowledged; it is there \(times[$0] ?? 0) times" }
  }

  private func alerts(_ effects: [String: JSONValue]) async throws -> [String] {
    var sequences: [String: [Int64]] = [:]
    var after: Int64 = 0
    while true {
      let page =
        try await host.client.alerts.call(
          method: "alert.list", params: ["afterSequence": .integer(after), "limit": 1000, "kind": "benchmark"],
          effect: .read)["alerts"]?.array ?? []
      guard let last = page.last?["sequence"]?.integer else { break }
      for alert in page {
        if let subject = alert["subject"]?.string, let sequence = alert["sequence"]?.integer {
          sequences[subject, default: []].append(sequence)
        }
      }
      after = last
    }
    let doubled = sequences.filter { $0.value.count > 1 }.map { "alert \($0.key) is there \($0.value.count) times" }
    let lost = effects.compactMap { subject, answer -> String? in
      let acknowledged = answer["sequences"]?.array?.first?.integer
      guard let acknowledged, sequences[subject] != [acknowledged] else { return nil }
      return "alert \(subject) was acknowledged as \(acknowledged); the log has \(sequences[subject] ?? [])"
    }
    return doubled + lost
  }

  /// The last request with an effect of each client, again with its key.
  private func repeats(_ service: ServiceName, _ measurements: inout Measurements) async throws {
    for record in found[service] ?? [] {
      guard let subject = record.sent.keys.max(by: { $0.count == $1.count ? $0 < $1 : $0.count < $1.count }),
        let request = record.sent[subject], let answer = record.effects[subject]
      else { continue }
      let again = try await host.client[service].call(
        method: request.method, params: request.params, effect: .idempotent)
      measurements.count("repeats", 1)
      if again != answer {
        measurements.count("lost", 1)
        measurements.problems.append("\(service): a repeat of \(subject) was answered \(again) instead of \(answer)")
      }
    }
  }
}
