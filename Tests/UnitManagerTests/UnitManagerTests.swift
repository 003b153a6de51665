import Glibc
import HostConfiguration
import RPC
import Testing
import UnitManager

struct UnitManagerTests {
  @Test func theLabsManagerConforms() async throws {
    let lab = FakeLab()
    try await Conformance(manager: LabUnitManager(calling: RouterCaller(lab.router(), as: .root))).run()
  }

  /// Under a system manager whose units are `Tests/UnitManagerTests/Units`; `Tests/run system` provides it.
  @Test(.enabled(if: getenv("FTVS_TEST_UNITS") != nil)) func systemdsManagerConforms() async throws {
    try await Conformance(manager: SystemdUnitManager()).run()
  }

  @Test func theConfigurationSaysWhichManagerThereIs() async throws {
    var configuration = HostConfiguration()
    #expect(try await makeUnitManager(configuration) is SystemdUnitManager)
    configuration.labSocket = "/nowhere/lab.sock"
    #expect(try await makeUnitManager(configuration) is LabUnitManager)
  }

  @Test func statesAreSystemdsWords() {
    typealias State = UnitStatus.ActiveState
    #expect(State(systemdName: "activating") == .activating)
    #expect(State(systemdName: "reloading") == .active)
    #expect(State(systemdName: "maintenance") == .unknown)
  }

  @Test func errorsSayWhatToDo() {
    let unit = "ftvs-vm@cpu0.service"
    #expect(UnitError.startFailed(unit: unit, result: "exit-code").description.contains("journalctl -u \(unit)"))
    #expect(UnitError.conditionFailed(unit: unit).description.contains("Bring the module online"))
  }
}
