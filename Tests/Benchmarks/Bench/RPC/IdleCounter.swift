import Glibc

/// How often the threads of some processes wake.
enum IdleCounter {
  /// Wake-ups a second, of all the processes together.
  static func wakeUps(of processes: [pid_t], seconds: Double) throws -> Double {
    let before = try processes.map(switches).reduce(0, +)
    usleep(UInt32(seconds * 1_000_000))
    return try (processes.map(switches).reduce(0, +) - before) / seconds
  }

  /// Times that threads of a process have slept since they began.
  private static func switches(of process: pid_t) throws -> Double {
    let text = try BenchProcess.output(of: ["sh", "-c", "cat /proc/\(process)/task/*/status"])
    return text.split(separator: "\n").filter { $0.hasPrefix("voluntary_ctxt_switches:") }
      .compactMap { $0.split(separator: "\t").last.flatMap { Double($0) } }.reduce(0, +)
  }
}
