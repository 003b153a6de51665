import FTVSClient
import Foundation
import LabAPI
import Testing

@Suite struct ContractTests {
  @Test(arguments: Contract.services.map(\.name))
  func `a service's description is as in its golden file`(_ name: String) throws {
    let service = try #require(Contract.services.first { $0.name == name })
    try GoldenFile.check("\(name).json", JSON.indented(service.document) + "\n")
  }

  @Test func `every declared method belongs to a service`() throws {
    let shared = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Shared")
    var declared: Set<String> = []
    for folder in ["AlertAPI", "HardwareAPI", "LabAPI", "ServiceAPI", "StorageAPI", "VMAPI"] {
      let folder = shared.appendingPathComponent(folder)
      for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) {
        let text = try String(contentsOf: file, encoding: .utf8)
        for match in text.matches(of: /static let name = "([^"]*)"/) { declared.insert(String(match.1)) }
      }
    }
    let listed = Set(Contract.services.flatMap(\.methods).map(\.name))
    #expect(declared.subtracting(listed) == [], "Add these to Contract.swift.")
    #expect(listed.subtracting(declared) == [])
  }

  @Test(arguments: Contract.services.flatMap(\.methods).map(\.name))
  func `a method's name is noun.verb in camelCase`(_ name: String) {
    #expect(name.wholeMatch(of: /[a-z]+\.[a-z][a-zA-Z]*/) != nil)
  }

  @Test func `a method's name is its service's alone`() {
    for service in Contract.services {
      let names = service.methods.map(\.name)
      #expect(Set(names).count == names.count)
      for other in Contract.services where other.name != service.name {
        let shared = Set(names).intersection(other.methods.map(\.name))
        #expect(shared.allSatisfy { $0.hasPrefix("service.") })
      }
    }
  }

  @Test func `keyed methods, and no others, take a request key`() {
    for method in Contract.services.flatMap(\.methods) {
      #expect(method.isKeyed == (method.effect == .keyed), "\(method.name)")
    }
  }

  @Test func `failures have codes in their service's range, one kind each`() {
    for service in Contract.services {
      for method in service.methods where !method.name.hasPrefix("service.") {
        for failure in method.failures {
          #expect((service.firstCode + 1..<service.firstCode + 1_000).contains(failure.code), "\(method.name)")
        }
      }
    }
    func codes<F: RPCFailure>(_ type: F.Type) -> [(Int, String)] { F.allCases.map { ($0.rawValue, $0.kind) } }
    let all =
      codes(CommonFailure.self) + codes(HardwareFailure.self) + codes(VMFailure.self) + codes(StorageFailure.self)
      + codes(AlertFailure.self) + codes(LabFailure.self)
    #expect(Set(all.map(\.0)).count == all.count)
    #expect(all.allSatisfy { $0.1.wholeMatch(of: /[a-z][a-zA-Z]*/) != nil })
  }

  @Test func `codes have not moved`() throws {
    func lines<F: RPCFailure>(_ type: F.Type) -> [String] { F.allCases.map { "\($0.rawValue) \($0.kind)" } }
    let all =
      lines(CommonFailure.self) + lines(HardwareFailure.self) + lines(VMFailure.self) + lines(StorageFailure.self)
      + lines(AlertFailure.self) + lines(LabFailure.self)
    try GoldenFile.check("codes.txt", all.joined(separator: "\n") + "\n")
  }

  @Test func `every description is a sentence`() {
    for service in Contract.services {
      for method in service.methods { #expect(method.summary.hasSuffix("."), "\(method.name)") }
      let schemas = service.document["components"]?["schemas"]?.object?.members ?? []
      for schema in schemas {
        for property in schema.value["properties"]?.object?.members ?? [] {
          #expect(property.value["description"]?.string?.isEmpty == false, "\(schema.name).\(property.name)")
        }
      }
    }
  }

  @Test func `every reference of a description leads to a schema`() throws {
    for service in Contract.services {
      let text = JSON.text(service.document)
      let schemas = Set(service.document["components"]?["schemas"]?.object?.members.map(\.name) ?? [])
      for match in text.matches(of: /#\/components\/schemas\/([^"]*)"/) { #expect(schemas.contains(String(match.1))) }
    }
  }
}
