import ArgumentParser
import FTVSClient
import Primitives
import RPC

extension VMCommand {
  struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows what virtual machines use: processors, memory, disks.",
      discussion: "Values are of the last 5 seconds. With -o json: the counters, once.")
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName?
    @Flag(help: "Show it once, not until interrupted.") var once = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        let ask = { try await self.show(session) }
        if let name { try await session.about(name, ask) } else { try await ask() }
      }
    }

    private func show(_ session: Session) async throws {
      while true {
        let answer = try await session.call(GetVMStatistics.self, .init(name: name), on: .vm)
        session.print(answer) { VMTopText.table($0, .standard) }
        if once || session.isJSON { return }
        try await Task.sleep(for: .milliseconds(max(1000, answer.intervalMilliseconds)))
        Terminal.say("")
      }
    }
  }
}

/// What virtual machines use, as a table.
enum VMTopText {
  static func table(_ answer: GetVMStatistics.Result, _ style: Style) -> String {
    if answer.vms.isEmpty { return "No virtual machines. Define one: ftctl vm define FILE" }
    var table = Table(
      ["NAME", "STATE", "MODULE", "CPU", "MEMORY", "READ/S", "WRITTEN/S", "READS/S", "WRITES/S"],
      right: [3, 4, 5, 6, 7, 8])
    for vm in answer.vms {
      let rates = Rates(vm.samples)
      table.add([
        Table.Cell(vm.name.rawValue), Table.Cell(vm.state), Table.Cell(Words.orDash(rates.last?.module?.rawValue)),
        Table.Cell(Words.orDash(rates.processors.map { "\(Int($0 * 100))%" })),
        Table.Cell(Words.orDash(rates.last?.memoryBytes.map(Sizes.text))),
        Table.Cell(Words.orDash(rates.of(\.readBytes).map(Sizes.text))),
        Table.Cell(Words.orDash(rates.of(\.writtenBytes).map(Sizes.text))),
        Table.Cell(Words.orDash(rates.of(\.readOperations).map { "\($0)" })),
        Table.Cell(Words.orDash(rates.of(\.writeOperations).map { "\($0)" })),
      ])
    }
    return table.text(style)
  }

  /// What two samples of one process say.
  struct Rates {
    let last: VMSample?
    private let first: VMSample?

    init(_ samples: [VMSample]) {
      last = samples.last
      let before = samples.dropLast().last
      first = before?.processID == samples.last?.processID ? before : nil
    }

    private var milliseconds: Int64? {
      guard let first, let last else { return nil }
      let (time, overflow) = last.timeMilliseconds.subtractingReportingOverflow(first.timeMilliseconds)
      return !overflow && time > 0 ? time : nil
    }

    /// Processors that it kept busy: 1.5 are one and a half.
    var processors: Double? {
      guard let milliseconds, let begin = first?.cpuMilliseconds, let end = last?.cpuMilliseconds, end >= begin else {
        return nil
      }
      return min(1e6, Double(end &- begin) / Double(milliseconds))
    }

    /// A counter of all disks together, for each second.
    func of(_ counter: KeyPath<VMDiskCounters, Int64>) -> Int64? {
      guard let milliseconds, let first, let last else { return nil }
      let sum = { (sample: VMSample) in sample.disks.reduce(Int64(0)) { $0 &+ $1[keyPath: counter] } }
      let difference = sum(last) &- sum(first)
      guard difference >= 0 else { return nil }
      return Int64((Double(difference) * 1000 / Double(milliseconds)).rounded().clamped)
    }
  }
}

extension Double {
  /// In the range of counters, with room.
  fileprivate var clamped: Double { Swift.min(Swift.max(self, 0), 9e18) }
}
