import Glibc
import HostConfiguration
import Logging
import Primitives
import RPC

/// The command line and the configuration file of a daemon.
struct DaemonArguments: Equatable {
  var module: ModuleID
  var configuration: HostConfiguration

  /// Why a daemon does not start, or what it prints instead.
  enum Outcome: Error, Equatable {
    case print(String)
    case wrong(String)
  }

  static let version = "1.0.0"

  static func usage(_ program: String) -> String {
    """
    usage: \(program) --module cpu0|cpu1

    Runs one of the two instances of this service. It is started by systemd, or by 'ftctl lab up', which pass it its
    socket; operators use ftctl.

      --module MODULE  CPU module on which it runs
      --version        print the version
      --help           print this

    FTVS_CONFIGURATION names the host's configuration; without it, /etc/ftvs/host.json is read when it is there.
    FTVS_LOG_LEVEL sets the least level that is logged: trace, debug, info (the default), notice, warning, error.
    """
  }

  static func parse(
    _ arguments: [String], environment: [String: String], kind: ModuleID.Kind = .cpu
  ) throws(Outcome) -> DaemonArguments {
    let program = arguments.first?.split(separator: "/").last.map(String.init) ?? "ftvs"
    var module: ModuleID?
    var rest = arguments.dropFirst()
    while let argument = rest.popFirst() {
      switch argument {
      case "--help", "-h": throw .print(usage(program))
      case "--version": throw .print("\(program) \(version)")
      case "--module":
        guard let value = rest.popFirst(), let known = ModuleID(rawValue: value), known.kind == kind else {
          throw .wrong("--module needs cpu0 or cpu1")
        }
        module = known
      default: throw .wrong("unknown argument '\(argument)'; see \(program) --help")
      }
    }
    guard let module else { throw .wrong("--module is missing; see \(program) --help") }
    return DaemonArguments(module: module, configuration: try configuration(environment))
  }

  private static func configuration(_ environment: [String: String]) throws(Outcome) -> HostConfiguration {
    let named = environment["FTVS_CONFIGURATION"]
    do {
      return try HostConfiguration.read(named ?? HostConfiguration.defaultPath, mustExist: named != nil)
    } catch {
      throw .wrong(error.message)
    }
  }
}

extension HostConfiguration {
  static let defaultPath = "/etc/ftvs/host.json"

  /// Reads a configuration file. One that is not there means the defaults, unless it must exist.
  static func read(_ path: String, mustExist: Bool) throws(RPCError) -> HostConfiguration {
    guard let bytes = wholeFile(path, limit: 1 << 20) else {
      if !mustExist && errno == ENOENT { return HostConfiguration() }
      throw RPCError(
        CommonFailure.invalidParams, "Cannot read the configuration \(path): \(String(cString: strerror(errno))).")
    }
    do {
      return try WireCoder.decode(HostConfiguration.self, from: try JSON.parse(bytes), unknownMembers: .refuse)
    } catch {
      throw RPCError(CommonFailure.invalidParams, "The configuration \(path) is not right: \(error).")
    }
  }
}

/// The content of a small file, or nil with `errno` set.
func wholeFile(_ path: String, limit: Int) -> [UInt8]? {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var content: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while content.count <= limit {
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    if count < 0 && errno == EINTR { continue }
    guard count >= 0 else { return nil }
    if count == 0 { return content }
    content += buffer[..<count]
  }
  errno = EFBIG
  return nil
}
