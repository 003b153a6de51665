import FTVSClient
import Foundation
import Testing

@testable import ftctl

@Suite("What virtual machines use, as text")
struct VMTopTests {
  private func sample(
    at time: Int64, process: Int? = 7, cpu: Int64? = 0, read: Int64 = 0, operations: Int64 = 0
  ) -> VMSample {
    let disk = VMDiskCounters(
      target: "vda", readBytes: read, writtenBytes: 0, readOperations: operations, writeOperations: 0,
      flushOperations: 0, failedOperations: 0)
    return VMSample(
      timeMilliseconds: time, processID: process, module: .cpu0, cpuMilliseconds: cpu, memoryBytes: 64 << 20,
      disks: [disk])
  }

  @Test("Rates are those between the last two samples")
  func rates() {
    let rates = VMTopText.Rates([
      sample(at: 0, cpu: 1), sample(at: 5_000, cpu: 1_000),
      sample(at: 10_000, cpu: 8_500, read: 5 << 20, operations: 50),
    ])
    #expect(rates.processors == 1.5)
    #expect(rates.of(\.readBytes) == 1 << 20)
    #expect(rates.of(\.readOperations) == 10)
    #expect(rates.of(\.writtenBytes) == 0)
  }

  @Test("Counters of another process, or out of order, give no rate")
  func none() {
    for samples in [
      [], [sample(at: 1)], [sample(at: 0, process: 6), sample(at: 5_000)], [sample(at: 5_000), sample(at: 5_000)],
      [sample(at: 0, cpu: 5, read: 5), sample(at: 5_000)], [sample(at: .min), sample(at: .max)],
    ] as [[VMSample]] {
      #expect(VMTopText.Rates(samples).processors == nil)
      #expect(VMTopText.Rates(samples).of(\.readBytes) == nil)
    }
  }

  @Test("Numbers of any size are shown")
  func extremes() {
    let answer = GetVMStatistics.Result(
      intervalMilliseconds: 5_000,
      vms: [
        VMStatistics(
          name: VMName(unchecked: "a"), state: .running, samples: [sample(at: 0), sample(at: 1, cpu: .max, read: .max)]),
        VMStatistics(name: VMName(unchecked: "b"), state: .defined, samples: []),
      ])
    let text = VMTopText.table(answer, .plain)
    #expect(text.contains("64 MiB"))
    #expect(text.split(separator: "\n").count == 3)
  }
}
