import FoundationEssentials
import Glibc
import Lab

/// The user's editor.
enum Editor {
  /// What the environment names; it may have options of its own.
  static func command(_ environment: [String: String]) -> String {
    [environment["VISUAL"], environment["EDITOR"]].compactMap(\.self).first { !$0.isEmpty } ?? "vi"
  }

  /// Runs the editor on a file with ftctl's own terminal, and returns its exit code; 128 and the number of a signal that
  /// ended it.
  static func run(on path: String) async throws(Complaint) -> Int32 {
    let editor = command(ProcessInfo.processInfo.environment)
    // Ctrl-C is the editor's while it runs.
    let ignored = [SIGINT, SIGQUIT].map { ($0, signal($0, SIG_IGN)) }
    defer { for (number, handler) in ignored { signal(number, handler) } }
    let result: Result<Int32, Complaint> = await withCheckedContinuation { continuation in
      OwnThread.start { continuation.resume(returning: runHere(editor, path)) }
    }
    return try result.get()
  }

  private static func runHere(_ editor: String, _ path: String) -> Result<Int32, Complaint> {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var defaults = sigset_t()
    sigemptyset(&defaults)
    for number in [SIGINT, SIGQUIT, SIGPIPE] { sigaddset(&defaults, number) }
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    // As git and others do: the shell takes the options apart, and the path stays one word.
    let texts: [String] = ["/bin/sh", "-c", "\(editor) \"$1\"", "sh", path]
    let words = texts.map { strdup($0) }
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, "/bin/sh", nil, &attributes, words + [nil], environ)
    guard code == 0 else {
      return .failure(Complaint("Cannot start \(editor): \(String(cString: strerror(code))).", .system))
    }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    return .success(status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F))
  }
}
