import ArgumentParser

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
    version: "0.1.0",
    subcommands: [StatusCommand.self],
    groupedSubcommands: [
      CommandGroup(
        name: "Host",
        subcommands: [ModuleCommand.self, VMCommand.self, VolumeCommand.self, LibraryCommand.self, AlertCommand.self]),
      CommandGroup(name: "Services", subcommands: [ServiceCommand.self, CallCommand.self, APICommand.self]),
      CommandGroup(name: "Without systemd", subcommands: [LabCommand.self]),
    ])
}
