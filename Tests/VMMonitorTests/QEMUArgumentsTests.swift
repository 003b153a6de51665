import DomainXML
import HostConfiguration
import Primitives
import RPC
import Testing

@testable import VMMonitorCore

@Suite struct QEMUArgumentsTests {
  private func words(_ xml: String, accelerator: QEMUArguments.Accelerator? = nil) throws -> [String] {
    try arguments(xml, accelerator: accelerator).words
  }

  private func arguments(_ xml: String, accelerator: QEMUArguments.Accelerator? = nil) throws -> QEMUArguments {
    let domain = try Domain(xml: xml)
    let plan = GuestPlan(
      domain: domain, uuid: "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10", slot: 3, module: .cpu1,
      disks: domain.disks.filter { $0.volume != nil }.map {
        .init(disk: $0, exportName: "\($0.target).7", socketPath: "/run/ftvs/nbd.sock")
      })
    return QEMUArguments(
      plan: plan, files: GuestFiles(HostPaths(), slot: 3, module: .cpu1), program: "/usr/bin/qemu-system-x86_64",
      accelerator: accelerator)
  }

  private func after(_ option: String, _ words: [String]) -> [String] {
    zip(words, words.dropFirst()).filter { $0.0 == option }.map(\.1)
  }

  @Test func aDiskWaitsForItsServerAndNeverSeesAnError() throws {
    let words = try words(Bench.definition())
    let blockdev = try JSON.parse(try #require(after("-blockdev", words).first))
    #expect(blockdev["driver"] == "nbd")
    #expect(blockdev["export"] == "vda.7")
    #expect(blockdev["reconnect-delay"] == 3600)
    let device = try #require(after("-device", words).first { $0.hasPrefix("virtio-blk-pci") })
    #expect(device.contains("werror=stop,rerror=stop") && device.contains("write-cache=on"))
  }

  @Test func memoryIsNeverAMultipleOf256KiB() throws {
    let words = try words(Bench.definition())
    #expect(after("-m", words) == ["size=131080k"])
    let odd = try self.words(
      Bench.definition().replacingOccurrences(of: "<memory unit='MiB'>128", with: "<memory unit='KiB'>131076"))
    #expect(after("-m", odd) == ["size=131076k"])
  }

  @Test func theBestAcceleratorIsTakenUnlessOneIsNamed() throws {
    #expect(after("-accel", try words(Bench.definition())) == ["kvm", "tcg,thread=multi"])
    #expect(after("-accel", try words(Bench.definition(), accelerator: .tcg)) == ["tcg,thread=multi"])
    let emulated = Bench.definition().replacingOccurrences(of: "type='kvm'", with: "type='qemu'")
    #expect(after("-accel", try words(emulated, accelerator: .kvm)) == ["tcg,thread=multi"])
  }

  @Test func aGuestWaitsForTheMonitorBeforeItRuns() throws {
    #expect(try words(Bench.definition()).contains("-S"))
  }

  @Test func addressesAreTheSameAtEveryStartAndDifferPerInterface() {
    let uuid = "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10"
    #expect(MACAddress.drawn(uuid: uuid, index: 0) == MACAddress.drawn(uuid: uuid, index: 0))
    #expect(MACAddress.drawn(uuid: uuid, index: 0) != MACAddress.drawn(uuid: uuid, index: 1))
  }

  @Test func theFileIsHeaderProgramAndWordsEachWithANUL() throws {
    let arguments = try arguments(Bench.definition())
    let parts = arguments.file.split(separator: 0, omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self)
    }
    #expect(parts.first == "ftvs-guest-1")
    #expect(parts[1] == "/usr/bin/qemu-system-x86_64")
    #expect(Array(parts.dropFirst(2).dropLast()) == arguments.words)
    #expect(parts.last?.isEmpty == true)
  }

  @Test(arguments: [[], [0], [0, 1], [0, 1, 2], [255, 254, 253, 252]] as [[UInt8]])
  func base64GoesBothWays(bytes: [UInt8]) {
    #expect(Base64.decode(Base64.encode(bytes[...])) == bytes)
  }

  @Test(arguments: ["A", "A===", "AAA", "====", "AB=C", "A*==", "AA=A"])
  func whatIsNotBase64IsRefused(text: String) {
    #expect(Base64.decode(text) == nil)
  }
}
