import ArgumentParser
import Glibc

/// The command, or a part of a measurement that runs in a process of its own: those are no subcommands, because the command's own
/// argument would be tried first.
@main
enum Main {
  /// The main thread only waits: an asynchronous `main` would leave it to libdispatch in a way that valgrind does not survive.
  static func main() {
    Task.detached {
      await run()
      exit(0)
    }
    while true { pause() }
  }

  private static func run() async {
    let rest = Array(CommandLine.arguments.dropFirst(2))
    switch CommandLine.arguments.dropFirst().first {
    case RPCServerCommand.configuration.commandName: await RPCServerCommand.main(rest)
    case RPCClientCommand.configuration.commandName: await RPCClientCommand.main(rest)
    case StorageServerCommand.configuration.commandName: StorageServerCommand.main(rest)
    case InsideCommand.configuration.commandName: await InsideCommand.main(rest)
    default: await BenchCommand.main()
    }
  }
}
