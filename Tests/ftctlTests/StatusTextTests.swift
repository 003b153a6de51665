import FTVSClient
import Testing

@testable import ftctl

@Suite("The status screen")
struct StatusTextTests {
  private func text(_ overview: HostOverview) -> String {
    StatusText(overview: overview, times: HostFixture.times, style: .plain).text()
  }

  @Test("One screen shows modules, services, machines, volumes, legs, alerts, and what to do next")
  func whole() {
    #expect(text(HostFixture.overview) == Self.golden)
  }

  @Test("A part whose service does not answer says so, and the rest is there")
  func partMissing() {
    var overview = HostFixture.overview
    let error = RPCError(CommonFailure.unreachable, "Cannot connect to storage.sock: nothing listens.")
    overview.volumes = .failure(error)
    overview.legs = .failure(error)
    overview.services[.storage] = .failure(error)
    let shown = text(overview)
    #expect(shown.contains("Volumes\n  not known: Cannot connect to storage.sock: nothing listens."))
    #expect(shown.contains("  storage   active  down      -  no answer"))
    #expect(shown.contains("  web    running"))
    #expect(shown.contains("  systemctl status 'ftvs-storage@*': storage does not answer"))
    let lab = StatusText(overview: overview, times: HostFixture.times, style: .plain, isLab: true).text()
    #expect(lab.contains("  ftctl lab status: storage does not answer"))
  }

  @Test("Without the hardware supervisor the services themselves tell who serves")
  func supervisorMissing() {
    var overview = HostFixture.overview
    let error = RPCError(CommonFailure.timedOut, "No answer.")
    overview.modules = .failure(error)
    overview.placement = .failure(error)
    overview.services[.hardware] = .failure(error)
    let shown = text(overview)
    #expect(shown.hasPrefix("Host: state not known"))
    #expect(shown.contains("  hardware  no answer"))
    #expect(shown.contains("  vm        cpu0           4"))
  }

  @Test("A service in recovery comes with what it waits for")
  func recovery() {
    var overview = HostFixture.overview
    overview.services[.vm] = .success(HostFixture.status(.vm, problem: "Leg io1 is newer. Repair io1."))
    let shown = text(overview)
    #expect(shown.contains("in recovery: Leg io1 is newer. Repair io1."))
    #expect(shown.contains("ftctl service status vm"))
  }

  @Test("As JSON each part is the API's result, and what is missing is listed")
  func json() throws {
    var overview = HostFixture.overview
    overview.vms = .failure(RPCError(CommonFailure.timedOut, "No answer."))
    let json = try overview.json()
    #expect(json["modules"]?["pairs"]?.array?.first?["state"] == "simplex")
    #expect(json["vms"] == .null)
    #expect(json["errors"]?.array == [["part": "vms", "message": "No answer."]])
  }

  private static let golden = """
    Host: cpu simplex, io simplex    2026-11-18 11:06:40

    Modules
      MODULE  STATE    FOR   FAILURES  REASON
      cpu0    online   2 h          0
      cpu1    broken   3 s          2  its agent fell silent
      io0     online   2 h          0
      io1     syncing  20 s         1

    Services
      SERVICE   CPU0    CPU1  EPOCH  PROBLEM
      hardware  active  down      4
      vm        active  down      4
      storage   active  down      4  state on io1 resyncing
      alerts    active  down      4

    Virtual machines
      NAME   STATE    MODULE  AUTOSTART  FAILOVERS  REASON
      web    running  cpu0    yes                1
      batch  crashed  -       no                 0  out of memory

    Volumes
      NAME        SIZE  ALLOCATED  IMAGE   UNDO  SESSIONS  LEGS
      web-disk  10 GiB    312 MiB  debian  yes          1  io0

    Legs
      LEG  STATE      FOR     FREE  PATHS                                    REASON
      io0  in step    2 h   50 GiB  0 failed (a cable was pulled), 1 active
      io1  resyncing  20 s  49 GiB  -                                        1 GiB of 4 GiB copied

    Open alerts
      NUMBER  TIME                 SEVERITY  STATE  SUBJECT  MESSAGE
          12  2026-11-18 11:05:12  critical  open   cpu1     cpu1 failed: its agent fell silent.

    Next:
      cpu1: ftctl module online cpu1: brings it back into service
      ftctl vm start batch: it ended by itself: out of memory
      ftctl alert ack --through 12: when you have seen the open alerts
    """
}
