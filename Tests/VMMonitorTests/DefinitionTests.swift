import Foundation
import Primitives
import RPC
import Testing
import VMAPI

@testable import VMMonitorCore

/// Versions of definitions, and files that were edited by hand.
@Suite(.timeLimit(.minutes(2))) struct DefinitionTests {
  private static let name = VMName(unchecked: "a")

  private func file(_ bench: Bench, _ leg: String) -> String { "\(bench.directory)/\(leg)/vm/machines/a/domain.xml" }

  private func edit(_ bench: Bench, _ leg: String, _ change: (String) -> String) throws {
    let text = try String(contentsOfFile: file(bench, leg), encoding: .utf8)
    try change(text).write(toFile: file(bench, leg), atomically: true, encoding: .utf8)
  }

  /// A machine that is defined on both legs.
  private func defined(_ bench: Bench) async throws -> RunningMonitor {
    let monitor = try await bench.monitor()
    for await legs in monitor.state.legChanges() where legs.allSatisfy({ $0.state == .inStep }) { break }
    try await monitor.define(Bench.definition())
    return monitor
  }

  private func versions(_ monitor: RunningMonitor) async throws -> [VMVersion] {
    try await monitor.client.call(ListVMVersions.self, .init(name: Self.name)).versions
  }

  private func reload(_ monitor: RunningMonitor) async throws -> ReloadVM.Result {
    try await monitor.client.call(ReloadVM.self, .init(name: Self.name))
  }

  @Test func eachChangeIsAVersionAndEarlierOnesAreKept() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    let first = try await monitor.show()
    #expect(first.version == 1)
    try await monitor.define(Bench.definition(extra: "<vcpu>2</vcpu>"))
    try await monitor.define(try await monitor.show().definition)
    #expect(try await versions(monitor).map(\.version) == [2, 1])
    #expect(try await versions(monitor).map(\.current) == [true, false])
    let earlier = try await monitor.client.call(ShowVM.self, .init(name: Self.name, version: 1))
    #expect(earlier.definition == first.definition)
    let error = try await #require(throws: RPCError.self) {
      try await monitor.client.call(ShowVM.self, .init(name: Self.name, version: 9))
    }
    #expect(error.matches(VMFailure.noSuchVersion))
  }

  @Test func twentyVersionsAreKeptAndOutliveTheMonitor() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    for number in 1...24 { try await monitor.define(Bench.definition(extra: "<title>\(number)</title>")) }
    #expect(try await versions(monitor).map(\.version) == Array((6...25).reversed()))
    await monitor.kill()
    let second = try await bench.monitor()
    #expect(try await second.show().version == 25)
    #expect(try await versions(second).count == 20)
    _ = try await second.client.call(UndefineVM.self, .init(name: Self.name))
    try await second.define(Bench.definition())
    #expect(try await versions(second).map(\.version) == [1])
  }

  @Test func aChangeOfWhatIsNoLongerCurrentIsRefused() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    try await monitor.define(Bench.definition(extra: "<vcpu>2</vcpu>"))
    for version in [0, 1] {
      let error = try await #require(throws: RPCError.self) {
        try await monitor.client.call(
          DefineVM.self, .init(definition: Bench.definition(extra: "<vcpu>3</vcpu>"), expectedVersion: version))
      }
      #expect(error.matches(VMFailure.definitionChanged))
    }
    #expect(try await monitor.show().cpus == 2)
    let detail = try await monitor.client.call(
      DefineVM.self, .init(definition: Bench.definition(extra: "<vcpu>3</vcpu>"), expectedVersion: 2))
    #expect(detail.version == 3 && detail.cpus == 3)
  }

  @Test(arguments: [["io0"], ["io1"], ["io0", "io1"]])
  func whatWasEditedByHandIsNoticedOnceAndTaken(legs: [String]) async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    await monitor.monitor.noticeEdits()
    #expect(!bench.kinds().contains("vmDefinitionEdited"))
    for leg in legs { try edit(bench, leg) { $0.replacing("128</memory>", with: "256</memory>") } }
    for _ in 0..<2 { await monitor.monitor.noticeEdits() }
    #expect(bench.kinds().filter { $0 == "vmDefinitionEdited" }.count == legs.count)
    #expect(try await monitor.show().memoryBytes == 128 << 20)
    let result = try await reload(monitor)
    #expect(result.legs.map(\.rawValue) == legs)
    #expect(result.vm.memoryBytes == 256 << 20)
    #expect(try await versions(monitor).map(\.origin) == [.reloaded, .defined])
    for leg in ["io0", "io1"] {
      #expect(try String(contentsOfFile: file(bench, leg), encoding: .utf8) == result.vm.definition)
    }
    #expect(try await reload(monitor).legs.isEmpty)
  }

  @Test func anEditAtTheMomentWhenFilesAreLookedThroughIsKept() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    let (definition, files) = (try await monitor.show().definition, await monitor.monitor.files)
    for round in 0..<200 {
      await files.write(Self.name, definition, to: [.io0])
      async let looked: Void = files.reconcile([Self.name: definition], on: .io0)
      try edit(bench, "io0") { $0.replacing("128</memory>", with: "256</memory>") }
      await looked
      let isKept = try String(contentsOfFile: file(bench, "io0"), encoding: .utf8).contains("256</memory>")
      try #require(isKept, "round \(round)")
    }
  }

  @Test func filesThatWereEditedDifferentlyAreNotMerged() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    try edit(bench, "io0") { $0.replacing("128</memory>", with: "256</memory>") }
    try edit(bench, "io1") { $0.replacing("128</memory>", with: "512</memory>") }
    let error = try await #require(throws: RPCError.self) { try await reload(monitor) }
    #expect(error.matches(VMFailure.definitionChanged))
    #expect(try await monitor.show().memoryBytes == 128 << 20)
  }

  @Test(arguments: [("<name>a</name>", "<name>b</name>"), ("<memory", "<memori"), ("type='kvm'", "type='kvm' \u{0}")])
  func anEditThatIsWrongChangesNothing(text: String, replacement: String) async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    try edit(bench, "io0") { $0.replacing(text, with: replacement) }
    let error = try await #require(throws: RPCError.self) { try await reload(monitor) }
    #expect(error.matches(VMFailure.badDefinition))
    #expect(try await monitor.show().version == 1)
    #expect(try String(contentsOfFile: file(bench, "io0"), encoding: .utf8).contains(replacement))
  }

  @Test func anEditByHandOutlivesTheMonitorAndIsNotOverwritten() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let first = try await defined(bench)
    await first.kill()
    try edit(bench, "io1") { $0.replacing("128</memory>", with: "256</memory>") }
    let second = try await bench.monitor()
    while !bench.kinds().contains("vmDefinitionEdited") { try await Task.sleep(for: .milliseconds(5)) }
    #expect(try await reload(second).vm.memoryBytes == 256 << 20)
  }

  @Test func anEditThatAnotherDefinitionReplacesIsKeptAsAVersion() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await defined(bench)
    try edit(bench, "io0") { $0.replacing("128</memory>", with: "256</memory>") }
    try await monitor.define(Bench.definition(extra: "<vcpu>2</vcpu>"))
    #expect(try await versions(monitor).map(\.origin) == [.defined, .replaced, .defined])
    #expect(try await monitor.show().version == 3)
    let kept = try await monitor.client.call(ShowVM.self, .init(name: Self.name, version: 2))
    #expect(kept.definition.contains("256</memory>"))
  }

  @Test func anEarlierDefinitionWhoseReplacementWasCutOffIsNoEdit() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let first = try await defined(bench)
    let earlier = try await first.show().definition
    try await first.define(Bench.definition(extra: "<vcpu>2</vcpu>"))
    let current = try await first.show().definition
    await first.kill()
    // The monitor died after it had said what it was about to write on io1.
    try earlier.write(toFile: file(bench, "io1"), atomically: true, encoding: .utf8)
    let second = try await bench.monitor()
    for await legs in second.state.legChanges() where legs.allSatisfy({ $0.state == .inStep }) { break }
    await second.monitor.noticeEdits()
    #expect(try String(contentsOfFile: file(bench, "io1"), encoding: .utf8) == current)
    #expect(!bench.kinds().contains("vmDefinitionEdited"))
  }

  @Test func noTwoMachinesGetOneAddress() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await bench.monitor()
    let uuid = "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10"
    let taken = MACAddress.drawn(uuid: uuid, index: 0)
    func definition(_ name: String, _ uuid: String?, _ interface: String) -> String {
      Bench.definition(name, uuid: uuid).replacing("<serial", with: "\(interface)<serial")
    }
    try await monitor.define(definition("b", nil, "<interface type='user'><mac address='\(taken)'/></interface>"))
    try await monitor.define(definition("a", uuid, "<interface type='user'/>"))
    let text = try await monitor.show().definition
    #expect(text.contains("<mac address='52:54:00:") && !text.contains(taken))
    // Defined anew without an address it keeps the one that it has.
    try await monitor.define(definition("a", uuid, "<interface type='user'/>"))
    #expect(try await monitor.show().definition == text)
  }

  @Test func aPreferredModuleIsTakenUnlessAnotherIsAskedFor() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await bench.monitor()
    try await monitor.define(
      Bench.definition().replacing(
        "<metadata>", with: "<metadata><f:module xmlns:f='urn:ftvs:domain:1' preferred='cpu1'/>"))
    #expect(try await monitor.start(on: nil).module == .cpu1)
    _ = try await monitor.client.call(KillVM.self, .init(name: Self.name))
    #expect(try await monitor.start(on: .cpu0).module == .cpu0)
  }

  @Test func aGuestGetsTheMemoryThatItsBalloonLeaves() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await bench.monitor()
    let text = Bench.definition(extra: "<currentMemory unit='MiB'>96</currentMemory>")
    try await monitor.define(text.replacing("<serial", with: "<memballoon model='virtio'/><serial"))
    try await monitor.start()
    #expect(monitor.life.calls.contains { $0.hasSuffix("setMemory ftvs-guest-cpu0@0.service \(96 << 20)") })
  }

  @Test func theVariablesOfUEFIAreMadeOnceAndGoWithTheMachine() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let template = "\(bench.directory)/vars"
    try Data(repeating: 7, count: 1024).write(to: URL(fileURLWithPath: template))
    let monitor = try await bench.monitor()
    try await monitor.define(
      Bench.definition().replacing(
        "hvm</type>",
        with: "hvm</type><loader type='pflash' readonly='yes'>/code</loader><nvram template='\(template)'/>"))
    try await monitor.start()
    #expect(monitor.life.calls.contains("provide a-nvram"))
    #expect(bench.host.state.withLock { $0.plans.values.first?.variables?.name.hasPrefix("a-nvram.") } == true)
    _ = try await monitor.client.call(KillVM.self, .init(name: Self.name))
    try await monitor.start()
    #expect(monitor.life.calls.filter { $0 == "provide a-nvram" }.count == 1)
    #expect(bench.host.violations.isEmpty)
  }

  @Test func aTemplateThatIsMissingIsNamed() async throws {
    let bench = try Bench(legAnswer: .seconds(20))
    let monitor = try await bench.monitor()
    try await monitor.define(
      Bench.definition().replacing(
        "hvm</type>", with: "hvm</type><loader type='pflash'>/code</loader><nvram template='/no/vars'/>"))
    let error = try await #require(throws: RPCError.self) { try await monitor.start() }
    #expect(error.message.contains("/no/vars") && error.message.contains("ovmf"))
  }
}
