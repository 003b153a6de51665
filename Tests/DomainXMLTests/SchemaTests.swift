import DomainXML
import Foundation
import Testing

/// libvirt's own schema judges what we accept.
@Suite struct SchemaTests {
  static let schema = "/usr/share/libvirt/schemas/domain.rng"
  static let isInstalled =
    FileManager.default.fileExists(atPath: schema) && FileManager.default.fileExists(atPath: "/usr/bin/xmllint")

  private func isValid(_ xml: String, _ schema: String = Self.schema) throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/xmllint")
    process.arguments = ["--noout", "--relaxng", schema, "-"]
    let input = Pipe()
    process.standardInput = input
    process.standardError = FileHandle.nullDevice
    try process.run()
    input.fileHandleForWriting.write(Data(xml.utf8))
    try input.fileHandleForWriting.close()
    process.waitUntilExit()
    return process.terminationStatus == 0
  }

  @Test(.enabled(if: isInstalled, "install libvirt0 and libxml2-utils"), arguments: Accepted.all)
  func whatWeAcceptIsValidForLibvirt(xml: String) throws {
    _ = try Domain(xml: xml)
    #expect(try isValid(xml), "\(xml)")
  }

  @Test(.enabled(if: isInstalled, "install libvirt0 and libxml2-utils"))
  func theOracleRefusesWhatIsNoDomain() throws {
    #expect(try !isValid("<domain type='kvm'><nonsense/></domain>"))
  }

  /// The schema of our own settings.
  private static let own = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Services/VMMonitor/Schema/ftvs-domain.rng").path

  @Test(
    .enabled(if: isInstalled, "install libvirt0 and libxml2-utils"),
    arguments: [
      "<f:protection level='none'/>", "<f:protection level='restart'/>", "<f:protection level='continuous'/>",
      "<f:protection/>", "<f:protection level='none' x='1'/>", "<f:restart priority='0'/>",
      "<f:restart priority='1000'/>", "<f:restart priority='1001'/>", "<f:restart priority='x'/>",
      "<f:module preferred='cpu1'/>", "<f:module preferred='io0'/>", "<f:colour/>", "",
      "<f:forward host='127.0.0.1:7000' guest='7'/><f:forward protocol='udp' host='127.0.0.1:7000' guest='7'/>",
      "<f:undo policy='keep'/>", "<f:undo policy='commit'/>", "<f:undo policy='discard'/>", "<f:undo policy='ask'/>",
      "<f:undo policy='none'/>", "<f:undo/>", "<f:undo policy='ask' x='1'/>",
      "<f:forward host='127.0.0.1' guest='7'/>", "<f:forward host='127.0.0.1:7' guest='0'/>",
      "<f:forward host='127.0.0.1:7' guest='65536'/>", "<f:forward protocol='sctp' host='127.0.0.1:7' guest='7'/>",
      "<f:restart priority='1'/><f:protection level='none'/>", "<f:restart priority='1'/><f:restart priority='1'/>",
    ])
  func ourOwnSchemaAcceptsWhatTheReaderAccepts(settings: String) throws {
    let element = "<f:vm xmlns:f='\(Domain.namespace)'>\(settings)</f:vm>"
    let xml = Samples.domain(extra: "<metadata>\(element)</metadata>", devices: "<interface type='user'/>")
    let isRead = (try? Domain(xml: xml)) != nil
    #expect(try isValid(element, Self.own) == isRead)
    #expect(try isValid(xml))
  }
}
