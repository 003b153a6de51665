import ArgumentParser
import FTVSClient
import RPC

/// `ftctl api`
struct APICommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "api",
    abstract: "Describes a service's API: its methods, or one of them.",
    discussion: "-o json prints the OpenRPC document.")

  @Argument(help: "hardware, vm, storage, alerts or lab.") var service: Socket
  @Argument(help: "One method, with its parameters and errors.", completion: .methods) var method: String?
  @OptionGroup var options: GlobalOptions

  func run() async throws {
    try await options.run { session in
      let api = try await session.call(Discover.self, Nothing(), on: service)
      if session.isJSON, method == nil { return Terminal.say(JSON.indented(api)) }
      let methods = APIText.methods(of: api)
      guard let method else { return Terminal.say(APIText.list(methods, .standard)) }
      guard let described = methods.first(where: { $0.name == method }) else {
        throw Complaint(
          "\(service.rawValue) has no method \(method).\n"
            + NearMatch.sentence(method, in: methods.map(\.name), noun: "method"))
      }
      Terminal.say(session.isJSON ? JSON.indented(described.json) : APIText.detail(described, .standard))
    }
  }
}

/// An OpenRPC document as text.
enum APIText {
  struct Method {
    let name: String
    let json: JSONValue

    func text(_ member: String) -> String { json[member]?.string ?? "" }
  }

  static func methods(of document: JSONValue) -> [Method] {
    (document["methods"]?.array ?? []).compactMap { json in json["name"]?.string.map { Method(name: $0, json: json) } }
  }

  static func list(_ methods: [Method], _ style: Style) -> String {
    var table = Table(["METHOD", "ROLE", "EFFECT", "SUMMARY"])
    for method in methods {
      table.add([
        Table.Cell(method.name), Table.Cell(method.text("x-access")), Table.Cell(method.text("x-effect")),
        Table.Cell(method.text("summary")),
      ])
    }
    return table.text(style)
  }

  static func detail(_ method: Method, _ style: Style) -> String {
    var parts = [
      "\(style.paint(method.name, .bold)): \(method.text("summary"))",
      "Role: \(method.text("x-access")). Effect: \(method.text("x-effect")).",
    ]
    let params = method.json["params"]?.array ?? []
    if !params.isEmpty {
      var table = Table(["PARAMETER", "TYPE", "", "MEANING"])
      for param in params {
        table.add([
          Table.Cell(param["name"]?.string ?? ""), Table.Cell(type(param["schema"])),
          param["required"] == .bool(true) ? "required" : "", Table.Cell(param["description"]?.string ?? ""),
        ])
      }
      parts.append(table.text(style))
    }
    parts.append("Result: \(type(method.json["result"]?["schema"]))")
    if let event = method.json["x-event"]?["schema"] { parts.append("Events: \(type(event))") }
    let errors = method.json["errors"]?.array ?? []
    if !errors.isEmpty {
      var table = Table(["ERROR", "CODE", "MEANING"], right: [1])
      for error in errors {
        table.add([
          Table.Cell(error["data"]?["kind"]?.string ?? ""), Table.Cell("\(error["code"]?.integer ?? 0)"),
          Table.Cell(error["message"]?.string ?? ""),
        ])
      }
      parts.append(table.text(style))
    }
    return parts.joined(separator: "\n\n")
  }

  /// A schema in a word or two.
  private static func type(_ schema: JSONValue?) -> String {
    guard let schema else { return "any" }
    if let reference = schema["$ref"]?.string {
      return reference.split(separator: "/").last.map(String.init) ?? reference
    }
    if let words = schema["enum"]?.array { return words.compactMap(\.string).joined(separator: "|") }
    switch schema["type"]?.string {
    case "array"?: return "list of \(type(schema["items"]))"
    case "object"?: return "object"
    case let name?: return name
    case nil: return "any"
    }
  }
}
