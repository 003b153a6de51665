import Glibc
import ServiceAPI

/// What the kernel knows of this process.
enum ProcessFacts {
  static var processID: Int32 { getpid() }

  /// Memory, processor time, connections.
  static func metrics(connections: Int) -> [Metric] {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let processor = [usage.ru_utime, usage.ru_stime].map { Double($0.tv_sec) + Double($0.tv_usec) / 1e6 }.reduce(0, +)
    return [
      Metric(
        name: "residentMemoryBytes", summary: "Memory that the process has in RAM.", value: residentBytes(), labels: [:]
      ),
      Metric(
        name: "processorSeconds", summary: "Processor time used since the start.", value: processor, labels: [:]),
      Metric(
        name: "connections", summary: "Connections open now.", value: Double(connections), labels: [:]),
    ]
  }

  private static func residentBytes() -> Double {
    // proc(5), statm: total and resident size in pages.
    let text = wholeFile("/proc/self/statm", limit: 4096).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let pages = text.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? 0
    return pages * Double(sysconf(Int32(_SC_PAGESIZE)))
  }
}
