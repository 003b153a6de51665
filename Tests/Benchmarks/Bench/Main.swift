import ArgumentParser

/// The command, or a part of a measurement that runs in a process of its own: those are no subcommands, because the command's own
/// argument would be tried first.
@main
enum Main {
  static func main() async {
    let rest = Array(CommandLine.arguments.dropFirst(2))
    switch CommandLine.arguments.dropFirst().first {
    case InsideCommand.configuration.commandName: await InsideCommand.main(rest)
    default: await BenchCommand.main()
    }
  }
}
