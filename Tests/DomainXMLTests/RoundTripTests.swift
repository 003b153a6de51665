import DomainXML
import Testing

/// What the host adds to a definition, and that nothing else of it changes.
@Suite struct RoundTripTests {
  static let uuid = "6f1c9c1e-7c1f-4f8a-9c53-2f7d1c2f9a10"

  private func filled(_ xml: String, addresses: [String] = ["52:54:00:00:00:01", "52:54:00:00:00:02"]) throws -> String
  {
    try DefinitionText.filled(xml, uuid: Self.uuid, addresses: addresses)
  }

  @Test func aTextWithEverythingStaysAsItIs() throws {
    #expect(try filled(Samples.whole) == Samples.whole)
  }

  @Test func theUUIDComesBehindTheNameWithItsIndentation() throws {
    let text = try filled(
      "<!-- a -->\n<domain type='kvm'>\n\t<name>a</name> <!-- b -->\n\t<memory>1</memory>\n</domain>\n")
    #expect(
      text == "<!-- a -->\n<domain type='kvm'>\n\t<name>a</name>\n\t<uuid>\(Self.uuid)</uuid> <!-- b -->\n"
        + "\t<memory>1</memory>\n</domain>\n")
  }

  @Test func linesKeepTheirEnds() throws {
    let text = try filled("<domain>\r\n  <name>a</name>\r\n</domain>\r\n")
    #expect(text == "<domain>\r\n  <name>a</name>\r\n  <uuid>\(Self.uuid)</uuid>\r\n</domain>\r\n")
  }

  @Test(arguments: [
    ("<interface type='user'/>", "<interface type='user'>@</interface>"),
    ("<interface type=\"user\" />", "<interface type=\"user\">@</interface>"),
    ("<interface type='user'></interface>", "<interface type='user'>@</interface>"),
    (
      "<interface type='user'><!-- > /> --><model type='virtio'/></interface>",
      "<interface type='user'>@<!-- > /> --><model type='virtio'/></interface>"
    ),
    (
      "\n  <interface type='user'>\n    <model type='e1000'/>\n  </interface>",
      "\n  <interface type='user'>\n    @\n    <model type='e1000'/>\n  </interface>"
    ),
    ("\n  <interface type='user'/>\n", "\n  <interface type='user'>\n    @\n  </interface>\n"),
    ("\n  <interface type='user'>\n  </interface>\n", "\n  <interface type='user'>\n    @\n  </interface>\n"),
  ])
  func anAddressIsTheFirstInItsInterface(before: String, after: String) throws {
    let domain = "<domain><name>a</name><uuid/><devices>%</devices></domain>"
    let text = try filled(domain.replacing("%", with: before))
    #expect(text == domain.replacing("%", with: after.replacing("@", with: "<mac address='52:54:00:00:00:01'/>")))
  }

  @Test func eachInterfaceGetsItsOwnAddress() throws {
    let domain = "<domain><uuid/><devices>%</devices></domain>"
    let given = "<interface type='user'><mac address='52:54:00:aa:aa:aa'/></interface>"
    let text = try filled(domain.replacing("%", with: given + "<interface type='user'/>"))
    let second = "<interface type='user'><mac address='52:54:00:00:00:02'/></interface>"
    #expect(text == domain.replacing("%", with: given + second))
  }

  @Test(arguments: Accepted.all)
  func whatIsFilledInReadsAsTheSameMachine(xml: String) throws {
    let before = try Domain(xml: xml)
    let addresses = before.interfaces.indices.map { "52:54:00:00:01:0\($0)" }
    let after = try Domain(xml: try filled(xml, addresses: addresses))
    #expect(after.uuid == before.uuid ?? Self.uuid)
    #expect(after.interfaces.map(\.mac) == zip(before.interfaces, addresses).map { $0.mac ?? $1 })
    #expect(after.disks.map(\.target) == before.disks.map(\.target))
    #expect(try filled(try filled(xml, addresses: addresses), addresses: []) == filled(xml, addresses: addresses))
  }
}
