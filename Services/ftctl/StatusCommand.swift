import ArgumentParser
import Glibc
import RPC

/// `ftctl status`
struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Shows the whole host on one screen, and what to do next.",
    discussion: "A part whose service does not answer says so; the exit code is then 69.")

  @OptionGroup var options: GlobalOptions

  /// Longest wait for one part: a screen is worth more than its last part.
  private static let patience = 3.0

  func run() async throws {
    try await options.run { session in
      let quick = Session(
        directory: session.directory, output: session.output, timeout: .seconds(min(options.deadline, Self.patience)))
      let overview = await HostOverview.fetch(quick)
      if overview.isAbsent, let error = overview.errors.first?.error { throw error }
      if session.isJSON {
        Terminal.say(JSON.indented(try overview.json()))
      } else {
        let isLab = access("\(session.directory)/\(Socket.lab.rawValue).sock", F_OK) == 0
        var style = Style.standard
        style.width = Terminal.width(of: STDOUT_FILENO)
        Terminal.say(StatusText(overview: overview, times: .current, style: style, isLab: isLab).text())
      }
      if !overview.errors.isEmpty { throw FtctlExit.unavailable.code }
    }
  }
}

extension HostOverview {
  /// Whether not a single service answered.
  fileprivate var isAbsent: Bool {
    services.values.allSatisfy { if case .failure = $0 { true } else { false } }
  }
}
