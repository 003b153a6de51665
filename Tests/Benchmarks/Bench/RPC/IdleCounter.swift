import Glibc

/// How often the threads of some processes have slept.
struct IdleCounter {
  /// Of all threads.
  var all = 0.0
  /// Of those that are FTVS's own: event loops. The others are Swift's pool, whose monitor in libdispatch wakes once a second.
  var own = 0.0

  /// Wake-ups a second, of all the processes together.
  static func wakeUps(of processes: [pid_t], seconds: Double) throws -> IdleCounter {
    let before = try IdleCounter(processes)
    usleep(UInt32(seconds * 1_000_000))
    let after = try IdleCounter(processes)
    return IdleCounter(all: (after.all - before.all) / seconds, own: (after.own - before.own) / seconds)
  }

  private init(all: Double, own: Double) {
    self.all = all
    self.own = own
  }

  /// Since the processes began.
  private init(_ processes: [pid_t]) throws {
    let files = processes.map { "/proc/\($0)/task/*/status" }.joined(separator: " ")
    let text = try BenchProcess.output(of: ["sh", "-c", "cat \(files)"])
    var isOwn = false
    for line in text.split(separator: "\n") {
      let words = line.split(separator: "\t")
      if words.first == "Name:" { isOwn = words.last?.hasPrefix("ftvs-") == true && words.last != "ftvs-bench" }
      guard words.first == "voluntary_ctxt_switches:", let count = words.last.flatMap({ Double($0) }) else { continue }
      all += count
      if isOwn { own += count }
    }
  }
}
