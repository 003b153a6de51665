import Foundation
import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

@Suite(.timeLimit(.minutes(1))) struct StatisticsTests {
  @Test func samplesAreKeptAndTheNewestAreTold() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    #expect(try await ask(monitor, 5).vms[0].samples.isEmpty)
    try await monitor.start(on: .cpu0)
    for _ in 0..<4 { await monitor.monitor.takeSample() }
    let vm = try await ask(monitor, 3).vms[0]
    #expect(vm.state == .running)
    #expect(vm.samples.count == 3)
    let sample = try #require(vm.samples.last)
    #expect(sample.module == .cpu0 && sample.processID == 4711)
    #expect(sample.disks.map(\.volume?.rawValue) == ["a-disk"])
    #expect(sample.disks.map(\.readBytes) == [4096])
    await #expect(throws: RPCError.self) {
      try await monitor.client.call(GetVMStatistics.self, .init(name: VMName(unchecked: "none")))
    }
  }

  @Test func theRingIsBounded() async throws {
    let bench = try Bench()
    let monitor = try await bench.monitor()
    try await monitor.define(Bench.definition())
    try await monitor.start(on: .cpu0)
    for _ in 0..<VMMonitor.keptSamples + 3 { await monitor.monitor.takeSample() }
    #expect(try await ask(monitor, 360).vms[0].samples.count == VMMonitor.keptSamples)
  }

  private func ask(_ monitor: RunningMonitor, _ samples: Int) async throws -> GetVMStatistics.Result {
    try await monitor.client.call(GetVMStatistics.self, .init(name: VMName(unchecked: "a"), samples: samples))
  }

  @Test func aControlGroupIsReadAndElseTheProcess() async throws {
    let bench = try Bench()
    let root = bench.directory
    let unit = "ftvs-guest-cpu0@0.service"
    let group = "\(root)/cgroup/ftvs.slice/ftvs-cpu0.slice/\(unit)"
    let read = GuestUsage.reader(controlGroups: "\(root)/cgroup", processes: "\(root)/proc")
    #expect(await read(unit, .cpu0, nil) == GuestUsage())
    try FileManager.default.createDirectory(atPath: "\(root)/proc/7", withIntermediateDirectories: true)
    let stat = "7 (a )b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 3 0 1000 1000 50 18446744073709551615"
    try Data(stat.utf8).write(to: URL(fileURLWithPath: "\(root)/proc/7/stat"))
    try Data("1000 50 10 1 0 500 0\n".utf8).write(to: URL(fileURLWithPath: "\(root)/proc/7/statm"))
    #expect(await read(unit, .cpu0, 7) == GuestUsage(cpuMilliseconds: 4000, memoryBytes: 50 * 4096))
    try FileManager.default.createDirectory(atPath: group, withIntermediateDirectories: true)
    try Data("usage_usec 1234567\nuser_usec 1\n".utf8).write(to: URL(fileURLWithPath: "\(group)/cpu.stat"))
    try Data("8192\n".utf8).write(to: URL(fileURLWithPath: "\(group)/memory.current"))
    #expect(await read(unit, .cpu0, 7) == GuestUsage(cpuMilliseconds: 1234, memoryBytes: 8192))
  }

  @Test func whatQEMUCountsIsReadByDevice() throws {
    let answer = try JSON.parse(
      """
      [{"device": "", "qdev": "/machine/peripheral/vda/virtio-backend", "node-name": "disk0", "stats":
        {"rd_bytes": 512, "wr_bytes": 1024, "rd_operations": 1, "wr_operations": 2, "flush_operations": 3,
         "failed_rd_operations": 1, "failed_wr_operations": 2, "failed_flush_operations": 0}},
       {"device": "floppy0", "stats": {}}, 7]
      """)
    let disk = try #require(EngineStatistics(blockStatistics: answer).disks["vda"])
    #expect(disk.readBytes == 512 && disk.writtenBytes == 1024 && disk.failedOperations == 3)
    #expect(EngineStatistics(blockStatistics: "nonsense").disks.isEmpty)
  }
}
