import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl alert …`
struct AlertCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "alert",
    abstract: "The durable log of what happened.",
    subcommands: [List.self, Follow.self, Acknowledge.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists alerts, oldest first.")
    @Option(help: "At most this many, the newest.") var limit = 50
    @Option(help: "Only those with a higher number, the oldest of them first.") var after: Int64?
    @Option(help: "Only those that matter at least this much.") var severity: Severity?
    @Option(help: "Only those about this module, volume, leg or virtual machine.") var subject: String?
    @Option(help: "Only those of this kind, such as moduleFailed.") var kind: String?
    @Flag(help: "Only those that nobody acknowledged yet.") var open = false
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard (1...1000).contains(limit) else { throw ValidationError("--limit is between 1 and 1000.") }
    }

    func run() async throws {
      try await options.run { session in
        let params = ListAlerts.Params(
          afterSequence: after, newest: after == nil ? true : nil, limit: limit, minimumSeverity: severity,
          subject: subject, kind: kind, state: open ? .open : nil)
        try await session.show(ListAlerts.self, params, on: .alerts) {
          ListText.alerts($0.alerts, .current, .standard)
        }
      }
    }
  }

  struct Follow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints alerts as they come, until interrupted; none is left out, also through a failover.")
    @Option(help: "Begin after this number; with the next new one when left out.") var after: Int64?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        var last = after
        if last == nil {
          // A number to go on from, so that a failover before the first alert loses none either.
          last = try await session.call(ListAlerts.self, .init(newest: true, limit: 1), on: .alerts).lastSequence
        }
        try await session.follow(FollowAlerts.self, on: .alerts, params: { .init(afterSequence: last) }) { event in
          last = event.alert?.sequence ?? event.missedThroughSequence ?? last
          session.printEvent(event) { AlertText.line($0, .current, .standard) }
          return true
        }
      }
    }
  }

  struct Acknowledge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ack", abstract: "Marks alerts as seen.", aliases: ["acknowledge"])
    @Argument(help: "Their numbers.") var numbers: [Int64] = []
    @Option(help: "Every open alert up to this number.") var through: Int64?
    @Option(help: "A word for the records.") var note: String?
    @OptionGroup var options: GlobalOptions

    func validate() throws {
      guard !numbers.isEmpty || through != nil else {
        throw ValidationError("Give the numbers of alerts, or --through NUMBER.")
      }
    }

    func run() async throws {
      try await options.run { session in
        let params = AcknowledgeAlerts.Params(
          sequences: numbers.isEmpty ? nil : numbers, throughSequence: through, note: note)
        try await session.show(AcknowledgeAlerts.self, params, on: .alerts) {
          "\(Words.count($0.acknowledged, "alert")) acknowledged."
        }
      }
    }
  }
}

/// What a follower of alerts is told, as text.
enum AlertText {
  static func line(_ event: AlertEvent, _ times: Times, _ style: Style) -> String {
    if let alert = event.alert { return ListText.line(alert, times, style) }
    return style.paint("Alerts up to number \(event.missedThroughSequence ?? 0) are no longer held.", .yellow)
  }
}
