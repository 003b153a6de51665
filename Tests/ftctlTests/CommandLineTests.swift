import ArgumentParser
import FTVSClient
import Testing

@testable import ftctl

@Suite("The command line")
struct CommandLineTests {
  private func parse<C>(_ words: String, as type: C.Type) throws -> C {
    try #require(try FtctlCommand.parseAsRoot(words.split(separator: " ").map(String.init)) as? C)
  }

  private func complaint(_ words: String) -> String {
    do {
      _ = try FtctlCommand.parseAsRoot(words.split(separator: " ").map(String.init))
      return ""
    } catch {
      return FtctlCommand.message(for: error)
    }
  }

  @Test("Every command has a sentence in the help")
  func help() {
    func check(_ command: any ParsableCommand.Type) {
      #expect(!command.configuration.abstract.isEmpty, "\(command)")
      for child in command.configuration.subcommands { check(child) }
    }
    check(FtctlCommand.self)
    let help = FtctlCommand.helpMessage()
    for exit in FtctlExit.allCases { #expect(help.contains("\(exit.rawValue)  ")) }
  }

  @Test("Options of the host are taken after the command")
  func globalOptions() throws {
    let command = try parse("vm list -o json --run-directory /x/run --deadline 2.5", as: VMCommand.List.self)
    #expect(command.options.output == .json)
    #expect(command.options.runDirectory == "/x/run")
    #expect(command.options.deadline == 2.5)
  }

  @Test("Names are checked with the rule in the complaint")
  func names() throws {
    #expect(try parse("vm start web", as: VMCommand.Start.self).name.rawValue == "web")
    #expect(complaint("vm start ../web").contains("begins with a letter or a digit"))
    #expect(complaint("volume delete a/b").contains("A volume name has"))
  }

  @Test("A module that does not exist is answered with those that do")
  func modules() throws {
    #expect(try parse("module fail io1 --reason test", as: ModuleCommand.Fail.self).module == .io1)
    #expect(complaint("module fail cpu7").contains("cpu0"))
  }

  @Test("A volume needs a size or an image")
  func volumeCreate() throws {
    #expect(complaint("volume create v").contains("--size, --image or both"))
    let command = try parse("volume create v --size 10G --image debian --undo", as: VolumeCommand.Create.self)
    #expect(command.size?.bytes == 10 << 30 && command.image?.rawValue == "debian" && command.undo)
    #expect(complaint("volume create v --size ten") != "")
  }

  @Test("Acknowledging needs to know which alerts")
  func acknowledge() throws {
    #expect(complaint("alert ack").contains("--through"))
    #expect(try parse("alert ack 3 4 --note seen", as: AlertCommand.Acknowledge.self).numbers == [3, 4])
  }

  @Test("Numbers out of range are refused before anything is asked")
  func ranges() {
    #expect(complaint("lab up --heartbeat-bound 5").contains("20"))
    #expect(complaint("alert list --limit 0").contains("1000"))
    #expect(complaint("status --deadline 0").contains("--deadline"))
    #expect(complaint("status --host -oProxyCommand=x") != "")
  }

  @Test("A slip in a command is answered with the command that was meant")
  func unknownCommand() {
    #expect(
      FtctlCommand.unknownCommand(in: ["statsu"]) == "There is no command \"ftctl statsu\". Did you mean status?")
    #expect(FtctlCommand.unknownCommand(in: ["vm", "strat", "x"])?.contains("\"ftctl vm strat\"") == true)
    #expect(FtctlCommand.unknownCommand(in: ["volume", "undo", "keep"])?.contains("enable, commit, discard") == true)
    #expect(FtctlCommand.unknownCommand(in: ["vm", "start"]) == nil)
    #expect(FtctlCommand.unknownCommand(in: ["--help"]) == nil)
  }

  @Test("A wrong command line ends with 64")
  func usageCode() {
    do {
      _ = try FtctlCommand.parseAsRoot(["vm", "start"])
      Issue.record("accepted")
    } catch {
      #expect(FtctlCommand.exitCode(for: error).rawValue == FtctlExit.usage.rawValue)
    }
  }

  @Test(
    "Each failure has its exit code",
    arguments: [
      (.unreachable, .unavailable), (.connectionLost, .unavailable), (.stopping, .unavailable),
      (.timedOut, .timedOut), (.forbidden, .forbidden), (.internalError, .failed),
    ] as [(CommonFailure, FtctlExit)])
  func exitCodes(failure: CommonFailure, exit: FtctlExit) {
    #expect(Complaint(RPCError(failure, "x")).exit == exit)
  }

  @Test("The host is chosen by option, variable, system, lab, in this order")
  func runDirectory() {
    func choose(_ option: String?, _ variable: String?, system: Bool, lab: Bool) -> String {
      RunDirectory.choose(option: option, variable: variable, systemExists: system, lab: "/h/lab") { _ in lab }
    }
    #expect(choose("/o", "/v", system: true, lab: true) == "/o")
    #expect(choose(nil, "/v", system: true, lab: true) == "/v")
    #expect(choose(nil, "", system: true, lab: true) == "/run/ftvs")
    #expect(choose(nil, nil, system: false, lab: true) == "/h/lab/run")
    #expect(choose(nil, nil, system: false, lab: false) == "/run/ftvs")
  }

  @Test("ssh forwards each socket, and the host cannot be taken for an option")
  func sshArguments() {
    let arguments = SSHTunnel.arguments(host: "admin@b", remoteDirectory: "/run/ftvs", directory: "/tmp/t")
    #expect(arguments.contains("/tmp/t/vm.sock:/run/ftvs/vm.sock"))
    #expect(arguments.filter { $0 == "-L" }.count == ServiceName.allCases.count + 1)
    #expect(arguments.contains("/tmp/t/nbd.sock:/run/ftvs/nbd.sock"))
    #expect(arguments.suffix(2) == ["--", "admin@b"])
  }

  @Test("Completion scripts can be made", arguments: [CompletionShell.bash, .zsh, .fish])
  func completions(shell: CompletionShell) {
    #expect(FtctlCommand.completionScript(for: shell).contains("library"))
  }
}
