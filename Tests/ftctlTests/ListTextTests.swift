import FTVSClient
import Foundation
import Testing

@testable import ftctl

@Suite("Results as text")
struct ListTextTests {
  private let times = HostFixture.times

  @Test("A volume is shown with its layers")
  func volume() {
    #expect(
      VolumeText.detail(HostFixture.volume, times, .plain) == """
        Volume      web-disk
        Size        10 GiB (10737418240 bytes)
        Image       debian
        Undo layer  yes
        In step on  io0
        Writes      writeBack, hold on one leg; they wait for the other leg now
        Generation  7
        Sessions    1
        Last scrub  2026-11-18 11:05:40: 2 GiB compared, 3 blocks repaired on io1, 1 block wrong on both legs

        LAYER   ROLE          ALLOCATED  IMAGE
        a1.vhd  base              2 GiB  debian
        b2.vhd  differencing    300 MiB  -
        c3.vhd  undo             12 MiB  -
        """)
    #expect(VolumeText.line(HostFixture.volume) == "web-disk: 10 GiB on io0, based on debian, with an undo layer")
  }

  @Test("Snapshots are shown as a tree, with a mark where the volume stands")
  func snapshots() {
    func status(_ name: String, _ parent: String?, isCurrent: Bool = false) -> SnapshotStatus {
      SnapshotStatus(
        snapshot: SnapshotName(unchecked: name), parent: parent.map(SnapshotName.init(unchecked:)), layer: "a1",
        sizeBytes: 1 << 30, allocatedBytes: 5 << 20, isCurrent: isCurrent, description: "",
        createdMilliseconds: HostFixture.ago(60))
    }
    let snapshots = [status("root", nil), status("left", "root"), status("right", "root", isCurrent: true)]
    let tree = SnapshotText.tree(snapshots + [status("leaf", "left")], times, .plain)
    let names = tree.split(separator: "\n").dropFirst().map { $0.prefix(9).trimmingCharacters(in: .whitespaces) }
    #expect(names == ["root", "└ left", "└ leaf", "└ right *"])
    #expect(SnapshotText.tree([], times, .plain).contains("ftctl volume snapshot create"))
  }

  @Test("A job is one line that says how it stands")
  func job() {
    var job = JobStatus(
      job: 3, operation: FlattenVolume.name, subject: "web", state: .running, doneBytes: 1 << 30, totalBytes: 4 << 30,
      createdMilliseconds: HostFixture.ago(60))
    #expect(JobText.line(job) == "Job 3, volume.flatten of web: 1 GiB of 4 GiB")
    #expect(JobText.list([job], times, .plain).contains(" 25% "))
    job.state = .failed
    job.reason = "There is no space."
    #expect(JobText.line(job) == "Job 3, volume.flatten of web, failed: There is no space.")
  }

  @Test("A module is one line, or all of it with what to do next")
  func module() {
    let module = HostFixture.modules.modules[1]
    #expect(ModuleText.line(module) == "cpu1 is broken: its agent fell silent")
    #expect(
      ModuleText.detail(module, times, .plain) == """
        Module    cpu1
        State     broken
        Reason    its agent fell silent
        Since     2026-11-18 11:06:37, 3 s
        Failures  2
        Next      ftctl module online cpu1: brings it back into service
        """)
  }

  @Test("A virtual machine's last failover is shown by phase")
  func recovery() {
    let recovery = Recovery(
      cause: "cpu0 failed", fromModule: .cpu0, toModule: .cpu1, failedMilliseconds: HostFixture.ago(5),
      detectMilliseconds: 12.4, decideMilliseconds: 2.55, fenceMilliseconds: 40, startMilliseconds: 95)
    #expect(VMText.phases(recovery) == "detect 12 ms, decide 2.6 ms, fence 40 ms, start 95 ms: 149 ms")
  }

  @Test("Availability lists the outages of one machine")
  func availability() {
    let vm = VMAvailability(
      name: VMName(unchecked: "web"), sinceMilliseconds: HostFixture.ago(3600), upMilliseconds: 3_599_000,
      plannedDownMilliseconds: 0, unplannedDownMilliseconds: 1000, availability: 0.999722,
      outages: [
        VMOutage(
          beginMilliseconds: HostFixture.ago(60), endMilliseconds: HostFixture.ago(59), planned: false,
          cause: "cpu0 failed")
      ])
    #expect(
      VMText.availability([vm], times, .plain) == """
        NAME  AVAILABILITY  UP           DOWN PLANNED  DOWN UNPLANNED  OUTAGES  SINCE
        web      99.97220%  59 min 59 s  0 ms          1 s                   1  2026-11-18 10:06:40

        BEGAN                LASTED  PLANNED  CAUSE
        2026-11-18 11:05:40  1 s     no       cpu0 failed
        """)
  }

  @Test("A gap in the alerts is said aloud")
  func alertGap() {
    #expect(
      AlertText.line(AlertEvent(missedThroughSequence: 40), times, .plain)
        == "Alerts up to number 40 are no longer held.")
    #expect(
      AlertText.line(AlertEvent(alert: HostFixture.alert(12, .error, "x failed.")), times, .plain)
        == "12  2026-11-18 11:05:12  error  open  cpu1  x failed.")
  }

  @Test("Empty lists say how to begin")
  func empty() {
    #expect(ListText.vms([], .plain).contains("ftctl vm define"))
    #expect(ListText.volumes([], .plain).contains("ftctl volume create"))
    #expect(ListText.images([], times, .plain).contains("ftctl library import"))
  }

  @Test("Whole metrics have no fraction")
  func metrics() {
    let metrics = [
      Metric(name: "requests", summary: "Requests served.", value: 12, labels: [:]),
      Metric(name: "gapMilliseconds", summary: "Gap.", value: 0.12345, labels: ["leg": "io0"]),
    ]
    #expect(
      ServiceText.metrics(metrics, .plain) == """
        NAME             VALUE  OF       MEANING
        requests            12           Requests served.
        gapMilliseconds  0.123  leg=io0  Gap.
        """)
  }

  @Test("A method of the API is described from its OpenRPC document")
  func api() throws {
    let document = OpenRPC.document(title: "vm", version: "1", methods: [MethodDescription(ShutDownVM.self)])
    let method = try #require(APIText.methods(of: document).first)
    let text = APIText.detail(method, .plain)
    #expect(text.hasPrefix("vm.shutdown: Asks a virtual machine"))
    #expect(text.contains("timeoutSeconds  integer"))
    #expect(text.contains("noSuchVM"))
    #expect(method.effect == .idempotent && !method.isSubscription)
  }

  @Test("A keyed method called by hand gets a key, and one that is given stays")
  func keys() throws {
    let document = OpenRPC.document(title: "s", version: "1", methods: [MethodDescription(CreateVolume.self)])
    let method = try #require(APIText.methods(of: document).first)
    #expect(method.withKey([:])["requestKey"]?.string.flatMap(RequestKey.init(rawValue:)) != nil)
    #expect(method.withKey(["requestKey": "mine"])["requestKey"] == "mine")
  }
}
