import FTVSClient

@testable import ftctl

/// A host at a moment: cpu1 failed, io1 being copied.
enum HostFixture {
  static let now: Int64 = 1_795_000_000_000
  static let times = Times(now: now, clock: Times.universal)

  static func ago(_ seconds: Int64) -> Int64 { now - seconds * 1000 }

  static let modules = ModuleList(
    modules: [
      ModuleStatus(module: .cpu0, kind: .cpu, state: .online, sinceMilliseconds: ago(7200), failures: 0),
      ModuleStatus(
        module: .cpu1, kind: .cpu, state: .broken, reason: "its agent fell silent", sinceMilliseconds: ago(3),
        failures: 2, nextStep: "ftctl module online cpu1: brings it back into service"),
      ModuleStatus(module: .io0, kind: .io, state: .online, sinceMilliseconds: ago(7200), failures: 0),
      ModuleStatus(module: .io1, kind: .io, state: .syncing, sinceMilliseconds: ago(20), failures: 1),
    ],
    pairs: [PairStatus(kind: .cpu, state: .simplex), PairStatus(kind: .io, state: .simplex)])

  static let placement = GetServices.Result(
    services: ServiceName.allCases.map { name in
      ServicePlacement(
        service: name,
        instances: [
          ServiceInstance(module: .cpu0, state: .active, processID: 10), ServiceInstance(module: .cpu1, state: .down),
        ])
    })

  static func status(_ service: ServiceName, problem: String? = nil) -> ServiceStatus {
    ServiceStatus(
      service: service, module: .cpu0, role: problem == nil ? .active : .recovery, epoch: 4,
      activeSinceMilliseconds: ago(60), processID: 10, version: "0.1.0",
      legs: [
        LegStatus(leg: .io0, state: .inStep, sinceMilliseconds: ago(7200)),
        LegStatus(leg: .io1, state: service == .storage ? .resyncing : .inStep, sinceMilliseconds: ago(20)),
      ], problem: problem)
  }

  static let vms = ListVMs.Result(vms: [
    VMSummary(
      name: VMName(unchecked: "web"), state: .running, module: .cpu0, autostart: true, processID: 99, failovers: 1,
      reason: nil),
    VMSummary(
      name: VMName(unchecked: "batch"), state: .crashed, module: nil, autostart: false, processID: nil, failovers: 0,
      reason: "out of memory"),
  ])

  static let volume = VolumeStatus(
    volume: VolumeName(unchecked: "web-disk"), sizeBytes: 10 << 30, image: ImageName(unchecked: "debian"),
    layers: [
      LayerStatus(layer: "a1.vhd", role: .base, image: ImageName(unchecked: "debian"), allocatedBytes: 2 << 30),
      LayerStatus(layer: "b2.vhd", role: .differencing, image: nil, allocatedBytes: 300 << 20),
      LayerStatus(layer: "c3.vhd", role: .undo, image: nil, allocatedBytes: 12 << 20),
    ],
    hasUndoLayer: true, generation: 7, sessions: 1, legs: [.io0], onOneLeg: .hold, waitingSessions: 1,
    lastScrub: ScrubStatus(
      endedMilliseconds: ago(60), checkedBytes: 2 << 30, skippedBytes: 0, repairedBlocksOnIO1: 3, lostBlocks: 1))

  static let legs = [
    StorageLeg(
      leg: .io0, state: .inStep, sinceMilliseconds: ago(7200), freeBytes: 50 << 30,
      paths: [
        StoragePath(
          path: 0, state: .failed, reason: "a cable was pulled", sinceMilliseconds: ago(60), directory: "/io0/storage"),
        StoragePath(path: 1, state: .active, sinceMilliseconds: ago(60), directory: "/io0-b/storage"),
      ]),
    StorageLeg(
      leg: .io1, state: .resyncing, sinceMilliseconds: ago(20), doneBytes: 1 << 30, totalBytes: 4 << 30,
      freeBytes: 49 << 30),
  ]

  static func alert(_ number: Int64, _ severity: Severity, _ message: String) -> AlertRecord {
    AlertRecord(
      sequence: number, timeMilliseconds: ago(100 - number), severity: severity, source: .hardware,
      kind: "moduleFailed", subject: "cpu1", message: message, data: [:], state: .open)
  }

  static var overview: HostOverview {
    HostOverview(
      modules: .success(modules), placement: .success(placement),
      services: Dictionary(uniqueKeysWithValues: ServiceName.allCases.map { ($0, .success(status($0))) }),
      vms: .success(vms), volumes: .success(.init(volumes: [volume])), legs: .success(.init(legs: legs)),
      alerts: .success(
        .init(alerts: [alert(12, .critical, "cpu1 failed: its agent fell silent.")], firstSequence: 1, lastSequence: 12)
      ))
  }
}
