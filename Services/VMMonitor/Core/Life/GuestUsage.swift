import Primitives

/// What a guest's process takes of the host.
public struct GuestUsage: Sendable, Equatable {
  /// Time of processors, in milliseconds.
  public var cpuMilliseconds: Int64?
  /// Memory, in bytes.
  public var memoryBytes: Int64?

  public init(cpuMilliseconds: Int64? = nil, memoryBytes: Int64? = nil) {
    self.cpuMilliseconds = cpuMilliseconds
    self.memoryBytes = memoryBytes
  }

  /// Reads it: of the unit's control group under systemd, and of the process itself in a lab, which has none.
  public static func reader(
    controlGroups: String = "/sys/fs/cgroup", processes: String = "/proc"
  ) -> @Sendable (_ unit: String, _ module: ModuleID, _ processID: Int?) async -> GuestUsage {
    let queue = BlockingQueue("guest usage")
    return { unit, module, processID in
      await queue.run(isolation: nil) {
        let group = "\(controlGroups)/ftvs.slice/ftvs-\(module.rawValue).slice/\(unit)"
        if let usage = GuestUsage(group: group) { return usage }
        return processID.map { GuestUsage(process: "\(processes)/\($0)") } ?? GuestUsage()
      }
    }
  }

  /// Of a control group (version 2); nil where there is none.
  init?(group: String) {
    guard let text = Self.text("\(group)/cpu.stat") else { return nil }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, words[0] == "usage_usec" { cpuMilliseconds = Int64(words[1]).map { $0 / 1000 } }
    }
    memoryBytes = Self.text("\(group)/memory.current").flatMap { Int64($0.filter(\.isNumber)) }
  }

  /// Of one process: proc(5), `stat` and `statm`. A hundredth of a second is the unit there, and a page of 4 KiB.
  init(process: String) {
    // The second word is the program's name in parentheses, and may hold anything.
    let stat = Self.text("\(process)/stat").flatMap { text in text.lastIndex(of: ")").map { text[$0...] } }
    let words = stat?.split(separator: " ") ?? []
    if words.count > 13, let user = Int64(words[12]), let system = Int64(words[13]) {
      cpuMilliseconds = (user &+ system) &* 10
    }
    let pages = Self.text("\(process)/statm")?.split(separator: " ").dropFirst().first.flatMap { Int64($0) }
    memoryBytes = pages.map { $0 &* 4096 }
  }

  private static func text(_ path: String) -> String? {
    FileSystem.read(path, limit: 16_384).map { String(decoding: $0, as: UTF8.self) }
  }
}
