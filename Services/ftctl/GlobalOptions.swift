import ArgumentParser
import FTVSClient
import FoundationEssentials
import Glibc
import Lab
import RPC

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json
}

/// Options that every command has.
struct GlobalOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "text for people, or json as the API answers.")
  var output: OutputFormat = .text

  @Option(
    help: ArgumentHelp(
      "Directory of the services' sockets.",
      discussion: """
        Without it: FTVS_RUN_DIRECTORY, else /run/ftvs where there is one, else the lab in ~/.ftvs-lab where one runs.
        """),
    completion: .directory)
  var runDirectory: String?

  @Option(help: "Administer another host: USER@HOST, reached by ssh.")
  var host: String?

  @Option(help: "Seconds for which a service that does not answer is waited for.")
  var deadline: Double = 30

  func validate() throws {
    guard deadline > 0, deadline <= 86_400 else { throw ValidationError("--deadline is between 0 and 86400 seconds.") }
    if let host, host.isEmpty || host.hasPrefix("-") { throw ValidationError("--host is USER@HOST.") }
  }

  /// Runs a command's work; prints what goes wrong and ends with the code that tells it.
  func run(_ body: @escaping @Sendable (Session) async throws -> Void) async throws {
    do {
      let tunnel = try await openTunnel()
      defer { tunnel?.close() }
      let directory = tunnel?.directory ?? RunDirectory.choose(option: runDirectory)
      try await body(Session(directory: directory, output: output, timeout: .seconds(deadline)))
    } catch let exit as ExitCode {
      throw exit
    } catch {
      let complaint = Complaint(any: error)
      Terminal.complain(complaint.text)
      throw complaint.exit.code
    }
  }

  private func openTunnel() async throws -> SSHTunnel? {
    guard let host else { return nil }
    return try await SSHTunnel.open(host: host, remoteDirectory: runDirectory ?? RunDirectory.system)
  }
}

extension Complaint {
  /// For whatever a command's work threw.
  init(any error: any Error) {
    switch error {
    case let complaint as Complaint: self = complaint
    case let error as RPCError: self.init(error)
    case let error as LabError: self.init(error.description, error.kind == .system ? .system : .failed)
    case is CancellationError: self.init("Interrupted.", .failed)
    default: self.init("\(error)")
    }
  }
}

/// Which host is meant.
enum RunDirectory {
  static let system = "/run/ftvs"

  /// The directory of the default lab.
  static var defaultLab: String { "\(home)/.ftvs-lab" }

  private static var home: String {
    ProcessInfo.processInfo.environment["HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
  }

  static func choose(option: String?) -> String {
    choose(
      option: option, variable: ProcessInfo.processInfo.environment["FTVS_RUN_DIRECTORY"],
      systemExists: access(system, F_OK) == 0, lab: defaultLab, labRuns: { Lab.isRunning(in: $0) })
  }

  static func choose(
    option: String?, variable: String?, systemExists: Bool, lab: String, labRuns: (String) -> Bool
  ) -> String {
    if let option { return option }
    if let variable, !variable.isEmpty { return variable }
    if !systemExists && labRuns(lab) { return LabPaths(directory: lab).run }
    return system
  }
}
