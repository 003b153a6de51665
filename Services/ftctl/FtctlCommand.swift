import ArgumentParser
import Primitives

/// The operator's client. Everything that it prints comes from the services' public API.
@main
struct FtctlCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ftctl",
    abstract: "Shows and runs a fault-tolerant host.",
    discussion: """
      Begin with "ftctl status". Without systemd, "ftctl lab up" starts a host as plain processes of yours.

      \(FtctlExit.help)
      """,
    version: softwareVersion,
    subcommands: [StatusCommand.self],
    groupedSubcommands: [
      CommandGroup(
        name: "Host",
        subcommands: [
          ModuleCommand.self, VMCommand.self, VolumeCommand.self, LibraryCommand.self, JobCommand.self,
          AlertCommand.self,
        ]),
      CommandGroup(name: "Services", subcommands: [ServiceCommand.self, CallCommand.self, APICommand.self]),
      CommandGroup(name: "Lab", subcommands: [LabCommand.self]),
    ])

  /// Runs what the command line says; a command that does not exist is answered with those that are near.
  static func main() async {
    Terminal.takeStandardDescriptors()
    let words = WordOrder.natural(Array(CommandLine.arguments.dropFirst()), root: self)
    do {
      var command = try await asyncParseAsRoot(words)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      if exitCode(for: error) == FtctlExit.usage.code,
        let sentence = unknownCommand(in: words)
      {
        Terminal.complain(sentence)
        exit(withError: FtctlExit.usage.code)
      }
      exit(withError: error)
    }
  }

  /// What to say when the words lead to a command that does not exist; nil when they do not.
  static func unknownCommand(in words: [String]) -> String? {
    var command: any ParsableCommand.Type = self
    var path = ["ftctl"]
    for word in words {
      let children = command.configuration.subcommands
      if children.isEmpty || word.hasPrefix("-") || word == "help" { return nil }
      if let child = WordOrder.child(word, of: command) {
        command = child
        path.append(word)
      } else {
        let sentence = NearMatch.sentence(word, in: children.map { $0._commandName }, noun: "command")
        return "There is no command \"\(path.joined(separator: " ")) \(word)\". \(sentence)"
      }
    }
    return nil
  }
}
