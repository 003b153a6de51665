import DomainXML
import Foundation
import Testing

/// libvirt's own schema judges what we accept.
@Suite struct SchemaTests {
  static let schema = "/usr/share/libvirt/schemas/domain.rng"
  static let isInstalled =
    FileManager.default.fileExists(atPath: schema) && FileManager.default.fileExists(atPath: "/usr/bin/xmllint")

  private func isValid(_ xml: String) throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/xmllint")
    process.arguments = ["--noout", "--relaxng", Self.schema, "-"]
    let input = Pipe()
    process.standardInput = input
    process.standardError = FileHandle.nullDevice
    try process.run()
    input.fileHandleForWriting.write(Data(xml.utf8))
    try input.fileHandleForWriting.close()
    process.waitUntilExit()
    return process.terminationStatus == 0
  }

  static let accepted: [String] = [
    Samples.whole,
    Samples.domain(),
    Samples.domain(devices: Samples.disk() + Samples.disk("vdb", "w")),
    Samples.domain(extra: Samples.metadata("<f:protection level='none'/>")),
    Samples.domain(extra: "<vcpu>4</vcpu><cpu><topology sockets='1' cores='2' threads='2'/></cpu>"),
    Samples.domain(extra: "<cpu mode='custom' match='exact'><model fallback='forbid'>EPYC</model></cpu>"),
    Samples.domain(devices: "<interface type='user'><model type='virtio'/></interface><serial type='pty'/>"),
  ]

  @Test(.enabled(if: isInstalled, "install libvirt0 and libxml2-utils"), arguments: accepted)
  func whatWeAcceptIsValidForLibvirt(xml: String) throws {
    _ = try Domain(xml: xml)
    #expect(try isValid(xml))
  }

  @Test(.enabled(if: isInstalled, "install libvirt0 and libxml2-utils"))
  func theOracleRefusesWhatIsNoDomain() throws {
    #expect(try !isValid("<domain type='kvm'><nonsense/></domain>"))
  }
}
