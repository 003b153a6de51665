import Primitives

/// The command line of a daemon.
enum DaemonArguments: Equatable {
  case run(ModuleID)
  case help
  case version
  /// Not understood: what is wrong, in a sentence.
  case wrong(String)

  /// - Parameter arguments: Without the program's name.
  init(_ arguments: [String]) { self = Self.parse(arguments) }

  private static func parse(_ arguments: [String]) -> DaemonArguments {
    var module: ModuleID?
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      switch argument {
      case "--help", "-h":
        return .help
      case "--version":
        return .version
      case "--module":
        guard let name = rest.popFirst() else { return .wrong("--module wants a name: cpu0 or cpu1.") }
        module = cpuModule(name)
        if module == nil { return .wrong("There is no CPU module \"\(name)\": take cpu0 or cpu1.") }
      case _ where argument.hasPrefix("--module="):
        let name = String(argument.dropFirst("--module=".count))
        module = cpuModule(name)
        if module == nil { return .wrong("There is no CPU module \"\(name)\": take cpu0 or cpu1.") }
      default:
        return .wrong("The argument \"\(argument)\" is not known.")
      }
    }
    return module.map(DaemonArguments.run) ?? .wrong("--module is missing: take cpu0 or cpu1.")
  }

  private static func cpuModule(_ name: String) -> ModuleID? {
    ModuleID(rawValue: name).flatMap { $0.kind == .cpu ? $0 : nil }
  }

  static func usage(_ program: String) -> String {
    """
    usage: \(program) --module cpu0|cpu1

    Runs the instance of this CPU module. It is started by systemd (\(program)@cpu0.service) or by 'ftctl lab up',
    which pass it its listening sockets.

      --module NAME  CPU module to which this instance belongs
      --version      prints the version
      --help         prints this

    The configuration is /etc/ftvs/host.json, or the file that FTVS_CONFIGURATION names.
    """
  }
}
