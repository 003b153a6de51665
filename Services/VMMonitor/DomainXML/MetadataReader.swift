import Primitives

/// Reads our own settings from `<metadata>`.
///
/// They stand in one element of our namespace, as libvirt keeps one element for each:
///
///     <metadata>
///       <ftvs:vm xmlns:ftvs='urn:ftvs:domain:1'>
///         <ftvs:protection level='restart'/>
///         <ftvs:restart priority='100'/>
///         <ftvs:module preferred='cpu0'/>
///         <ftvs:undo policy='ask'/>
///         <ftvs:forward protocol='tcp' host='127.0.0.1:7000' guest='7000'/>
///       </ftvs:vm>
///     </metadata>
///
/// `<ftvs:vm>` may be left out where libvirt itself never handles the file. Elements of other namespaces belong to others and are kept as they are.
enum MetadataReader {
  static func read(_ metadata: Scan) throws(DomainError) -> Domain.Settings {
    guard metadata.element.attributes.isEmpty else { throw metadata.error("attributes are not supported") }
    var own: [Scan] = []
    for child in metadata.element.children {
      let scan = Scan(child, path: "\(metadata.path)/\(child.name)")
      guard let space = child.namespace else { throw scan.error("an element of metadata needs a namespace") }
      guard space == Domain.namespace else { continue }
      if child.name == "vm" {
        try scan.allow(children: ["protection", "restart", "module", "undo", "forward"])
        own += child.children.map { Scan($0, path: "\(scan.path)/\($0.name)") }
      } else {
        own.append(scan)
      }
    }
    return try settings(own)
  }

  private static func settings(_ elements: [Scan]) throws(DomainError) -> Domain.Settings {
    var settings = Domain.Settings()
    var seen: Set<String> = []
    for element in elements {
      let name = element.element.name
      guard seen.insert(name).inserted || name == "forward" else { throw element.error("is there twice") }
      switch name {
      case "protection":
        try element.allow(attributes: ["level"])
        let level = try element.required("level")
        try element.choice("level", Domain.Protection.allCases.map(\.rawValue))
        settings.protection = Domain.Protection(rawValue: level) ?? .restart
      case "restart":
        try element.allow(attributes: ["priority"])
        _ = try element.required("priority")
        settings.restartPriority = Int(try element.number(attribute: "priority", in: 0...1000) ?? 0)
      case "module":
        try element.allow(attributes: ["preferred"])
        let module = try element.required("preferred")
        try element.choice("preferred", ModuleID.all(of: .cpu).map(\.rawValue))
        settings.preferredModule = ModuleID(rawValue: module)
      case "undo":
        try element.allow(attributes: ["policy"])
        _ = try element.required("policy")
        settings.undoPolicy = try element.value("policy", Domain.UndoPolicy.self) ?? .keep
      case "forward":
        let forward = try forward(element)
        let clash = settings.forwards.contains {
          $0.transport == forward.transport && $0.hostPort == forward.hostPort
            && ($0.hostAddress == forward.hostAddress || [$0.hostAddress, forward.hostAddress].contains("0.0.0.0"))
        }
        guard !clash else { throw element.error("another one forwards the same port of the host") }
        settings.forwards.append(forward)
        guard settings.forwards.count <= DomainReader.Limits.forwards else {
          throw element.error("there are more than \(DomainReader.Limits.forwards)")
        }
      default: throw element.error("is not supported; remove it")
      }
    }
    return settings
  }

  private static func forward(_ element: Scan) throws(DomainError) -> Domain.Forward {
    try element.allow(attributes: ["protocol", "host", "guest"])
    let transport = try element.choice("protocol", ["tcp", "udp"]).flatMap(Domain.Forward.Transport.init(rawValue:))
    let host = try element.required("host")
    let guest = try element.required("guest")
    guard let colon = host.lastIndex(of: ":"), let hostPort = port(String(host[host.index(after: colon)...])),
      isIPv4(host[..<colon])
    else { throw element.error(attribute: "host", "'\(host.prefix(40))' is not ADDRESS:PORT, such as 127.0.0.1:7000") }
    guard let guestPort = port(guest) else {
      throw element.error(attribute: "guest", "'\(guest.prefix(20))' is not a port from 1 to 65535")
    }
    return Domain.Forward(
      transport: transport ?? .tcp, hostAddress: String(host[..<colon]), hostPort: hostPort, guestPort: guestPort,
      line: element.element.line)
  }

  private static func port(_ text: String) -> UInt16? {
    Scan.number(text).flatMap(UInt16.init(exactly:)).flatMap { $0 > 0 ? $0 : nil }
  }

  private static func isIPv4(_ text: Substring) -> Bool {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { $0.utf8.count <= 3 && (Scan.number(String($0)).map { $0 <= 255 } ?? false) }
  }
}
