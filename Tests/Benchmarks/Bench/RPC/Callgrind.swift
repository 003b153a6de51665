/// Counts the instructions that a program executes in user space, by valgrind's callgrind: it needs no counters of the processor,
/// which virtual machines often lack, and a count hardly depends on what else runs.
struct Callgrind {
  static let tool = "callgrind"
  private let directory: BenchDirectory
  /// This program without what is for debuggers: valgrind 3.19 gives up on Swift's.
  private let stripped: String

  /// Nil where valgrind or strip is missing.
  init?(in directory: BenchDirectory) {
    stripped = "\(directory.path)/stripped"
    let commands = [["valgrind", "--version"], ["strip", "--strip-debug", "-o", stripped, BenchProcess.ownPath]]
    for command in commands {
      guard (try? BenchProcess.output(of: command, isSilent: true)) != nil else { return nil }
    }
    self.directory = directory
  }

  /// The command that counts what another one does, and the file that says how much once it has ended.
  func counted(_ command: [String]) -> (command: [String], file: String) {
    let file = "\(directory.path)/callgrind"
    let program = command.map { $0 == BenchProcess.ownPath ? stripped : $0 }
    return (["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=\(file)"] + program, file)
  }

  /// Instructions of a program that has ended.
  func total(_ file: String) throws -> Double {
    let line = try BenchProcess.output(of: ["grep", "^totals:", file])
    guard let total = line.split(separator: " ").last.flatMap({ Double($0.filter(\.isNumber)) }) else {
      throw BenchError("callgrind did not say how many instructions it counted.")
    }
    return total
  }
}
