import Glibc
import RPC

/// Errors of connecting, each with what to do.
enum ConnectFailure {
  static func error(_ error: Int32, _ path: String) -> RPCError {
    let advice =
      switch error {
      case ENOENT:
        "there is no such socket. Is the host running? Start it with \"systemctl start ftvs.target\" or \"ftctl lab up\""
      case ECONNREFUSED:
        "nothing listens there any more. Start the host with \"systemctl start ftvs.target\" or \"ftctl lab up\""
      case EACCES: "this user may not open it; look at the permissions of its directory"
      case EMFILE, ENFILE: "this program or host is out of descriptors; raise the limit (ulimit -n)"
      default: String(cString: strerror(error))
      }
    return RPCError(
      CommonFailure.unreachable, "Cannot connect to \(path): \(advice).",
      data: ["path": .string(path), "errno": .integer(Int64(error))])
  }

  static func pathTooLong(_ path: String) -> RPCError {
    RPCError(
      CommonFailure.unreachable,
      "Cannot connect to \"\(path)\": a socket's path has 1 to 107 bytes. Use a directory with a shorter name.",
      data: ["path": .string(path)])
  }

  static func full(_ path: String) -> RPCError {
    RPCError(
      CommonFailure.timedOut,
      "No instance of the service at \(path) accepts connections. Look at it with \"ftctl status\" or \"systemctl status "
        + "'ftvs-*'\".", data: ["path": .string(path)])
  }
}
