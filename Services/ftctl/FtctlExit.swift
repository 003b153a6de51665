import ArgumentParser
import RPC

/// How ftctl ends: part of its interface, so that scripts can tell what to do next.
///
/// Numbers are those of sysexits(3) where it has one.
enum FtctlExit: Int32, CaseIterable {
  /// Done.
  case done = 0
  /// The service refused or failed.
  case failed = 1
  /// The command line is wrong.
  case usage = 64
  /// A file that was named cannot be read.
  case noInput = 66
  /// The service does not answer.
  case unavailable = 69
  /// The operating system refused something.
  case system = 71
  /// No answer came in time; the call may have been executed.
  case timedOut = 75
  /// The caller's groups do not give the role that is needed.
  case forbidden = 77

  private var summary: String {
    switch self {
    case .done: "done"
    case .failed: "the service refused or failed; its sentence says why"
    case .usage: "the command line is wrong"
    case .noInput: "a file that was named cannot be read"
    case .unavailable: "the service does not answer (status: one of them does not)"
    case .system: "the operating system refused something"
    case .timedOut: "no answer came in time; the call may have been executed"
    case .forbidden: "your Unix groups do not give the role that is needed"
    }
  }

  /// The list, for the help.
  static var help: String {
    let lines = allCases.map { exit in
      let number = "\(exit.rawValue)"
      return "  \(String(repeating: " ", count: 3 - number.count))\(number)  \(exit.summary)"
    }
    return (["Exit codes:"] + lines).joined(separator: "\n")
  }

  var code: ExitCode { ExitCode(rawValue) }

  /// For the error of a call.
  init(_ error: RPCError) {
    if error.matches(CommonFailure.unreachable) || error.isPassing {
      self = .unavailable
    } else if error.matches(CommonFailure.timedOut) {
      self = .timedOut
    } else if error.matches(CommonFailure.forbidden) {
      self = .forbidden
    } else {
      self = .failed
    }
  }
}

/// What went wrong, in one or two lines that say what to do.
struct Complaint: Error, Equatable {
  var text: String
  var exit: FtctlExit

  init(_ text: String, _ exit: FtctlExit = .failed) {
    self.text = text
    self.exit = exit
  }

  init(_ error: RPCError) {
    text = error.message
    exit = FtctlExit(error)
  }
}
