import ArgumentParser
import FTVSClient
import FoundationEssentials
import Glibc
import Lab
import LabAPI
import Logging
import Primitives
import RPC

/// `ftctl lab …`
struct LabCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lab",
    abstract: "A host as plain processes in a directory, without systemd and without root.",
    subcommands: [Up.self, Down.self, Status.self])

  struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Starts a lab; what was on its legs before is there again.")
    @OptionGroup var lab: LabOptions
    @Flag(help: "Stay, and log to the terminal; Ctrl-C ends the lab.") var foreground = false
    @Option(
      help: "Silence of a module's agent after which the module counts as failed, in milliseconds; 1000 at first.")
    var heartbeatBound: Int?

    func validate() throws {
      if let heartbeatBound, !(20...60_000).contains(heartbeatBound) {
        throw ValidationError("--heartbeat-bound is between 20 and 60000 milliseconds.")
      }
    }

    func run() async throws {
      try await lab.run {
        let launch = LabLaunch(directory: try lab.directoryPath(), heartbeatBoundMilliseconds: heartbeatBound)
        if foreground {
          try await launch.runHere()
        } else {
          try await launch.runApart()
          let status = try await lab.session(timeout: 5).call(ListLabUnits.self, Nothing(), on: .lab)
          try lab.print(status) { _ in launch.welcome }
        }
      }
    }
  }

  struct Down: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Ends a lab; virtual machines are ended as if their power were cut.")
    @OptionGroup var lab: LabOptions

    func run() async throws {
      try await lab.run {
        let directory = try lab.directoryPath()
        guard Lab.isRunning(in: directory) else {
          return Terminal.say(lab.output == .json ? "null" : "No lab runs in \(directory).")
        }
        let progress = Progress()
        let ticker = progress.ticking("Ending the lab")
        defer {
          ticker.cancel()
          progress.clear()
        }
        let ended = try await lab.session(timeout: 60).call(EndLab.self, Nothing(), on: .lab)
        try await LabLaunch.awaitEnd(in: directory)
        ticker.cancel()
        progress.clear()
        try lab.print(ended) { _ in "The lab in \(directory) has ended; its legs are kept." }
      }
    }
  }

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the units of a lab.")
    @OptionGroup var lab: LabOptions

    func run() async throws {
      try await lab.run {
        let directory = try lab.directoryPath()
        guard Lab.isRunning(in: directory) else {
          throw Complaint("No lab runs in \(directory). Start one: ftctl lab up", .unavailable)
        }
        let status = try await lab.session(timeout: 5).call(ListLabUnits.self, Nothing(), on: .lab)
        try lab.print(status) { LabText.status($0, .standard) }
      }
    }
  }
}

/// Options of the lab's commands.
struct LabOptions: ParsableArguments {
  @Option(help: "Directory of the lab; ~/.ftvs-lab when left out.", completion: .directory) var directory: String?
  @Option(name: [.short, .long], help: "text for people, or json as the API answers.") var output: OutputFormat = .text

  func directoryPath() throws(Complaint) -> String {
    let path = directory ?? RunDirectory.defaultLab
    let absolute = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    return LabPath.normalized(absolute)
  }

  func session(timeout: Double) throws(Complaint) -> Session {
    Session(directory: LabPaths(directory: try directoryPath()).run, output: output, timeout: .seconds(timeout))
  }

  func print<T: WireValue>(_ value: T, _ text: (T) -> String) throws {
    try session(timeout: 1).print(value, text)
  }

  func run(_ body: () async throws -> Void) async throws {
    do {
      try await body()
    } catch let exit as ExitCode {
      throw exit
    } catch {
      let complaint = Complaint(any: error)
      Terminal.complain(complaint.text)
      throw complaint.exit.code
    }
  }
}

/// Paths without `.`, `..` and empty parts: a socket's path has no byte to waste.
enum LabPath {
  static func normalized(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }
}

/// Labs as text.
enum LabText {
  static func status(_ status: LabStatus, _ style: Style) -> String {
    var table = Table(["UNIT", "STATE", "PROCESS", "LAST END", "REPORTS"], right: [2])
    for unit in status.units {
      let colour: Style.Colour? =
        switch unit.activeState {
        case "active": .green
        case "failed": .red
        case "inactive": .faint
        default: .yellow
        }
      table.add([
        Table.Cell(unit.unit), Table.Cell(unit.activeState, colour),
        Table.Cell(Words.orDash(unit.processID.map(String.init))),
        Table.Cell(unit.result), Table.Cell(unit.status ?? ""),
      ])
    }
    return "Lab in \(status.directory), process \(status.processID)\n\n" + table.text(style)
  }
}
