import ArgumentParser
import FTVSClient
import Primitives
import RPC

/// `ftctl call`
struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call",
    abstract: "Calls any method of the API and prints what it answers.",
    discussion: """
      Parameters are one JSON object; - reads it from standard input. A subscription's events are printed one a line
      until interrupted. "ftctl api SERVICE" lists the methods.

        ftctl call hardware hardware.modules
        ftctl call vm vm.show '{"name": "web"}'
      """)

  @Argument(help: "hardware, vm, storage, alerts or lab.") var service: Socket
  @Argument(help: "Name of the method.", completion: .methods) var method: String
  @Argument(help: "Parameters, a JSON object.") var parameters: String = "{}"
  @OptionGroup var options: GlobalOptions

  /// Longest text of parameters: what fits into a frame.
  private static let parameterLimit = 16 << 20

  func run() async throws {
    try await options.run { session in
      let text = parameters == "-" ? try InputFile.text("-", atMost: Self.parameterLimit) : parameters
      let json: JSONValue
      do throws(JSONError) {
        json = try JSON.parse(text)
      } catch {
        throw Complaint("The parameters are not JSON: \(error).", .usage)
      }
      guard case .object = json else {
        throw Complaint("The parameters are a JSON object, such as '{\"name\": \"web\"}'.", .usage)
      }
      try await call(session, json)
    }
  }

  private func call(_ session: Session, _ params: JSONValue) async throws {
    let client = try session.client(service)
    let methods = APIText.methods(of: try await session.call(Discover.self, Nothing(), on: service))
    guard let described = methods.first(where: { $0.name == method }) else {
      throw Complaint(
        "\(service.rawValue) has no method \(method).\n"
          + NearMatch.sentence(method, in: methods.map(\.name), noun: "method"))
    }
    do {
      if described.isSubscription {
        for try await event in try await client.subscribe(method: method, params: params) {
          Terminal.say(JSON.text(event))
        }
      } else {
        let keyed = described.withKey(params)
        let result = try await client.call(method: method, params: keyed, effect: described.effect)
        Terminal.say(JSON.indented(result))
      }
    } catch let error as RPCError {
      if session.isJSON { Terminal.say(JSON.indented(Self.json(error))) }
      throw Complaint("\(error.kind) (\(error.code)): \(error.message)", FtctlExit(error))
    }
  }

  /// All of an error, for whoever calls by hand.
  private static func json(_ error: RPCError) -> JSONValue {
    [
      "error": [
        "code": .integer(Int64(error.code)), "kind": .string(error.kind), "message": .string(error.message),
        "data": .object(error.data),
      ]
    ]
  }
}

extension APIText.Method {
  /// Whether its answer is followed by events.
  var isSubscription: Bool { json["x-event"] != nil }

  /// What a repeat does; nil where this build does not know the word.
  var effect: Effect? { Effect(rawValue: text("x-effect")) }

  /// The parameters, with a request key where the method takes one and they have none: a repeat after a failover is then
  /// recognized.
  func withKey(_ params: JSONValue) -> JSONValue {
    guard effect == .keyed, case .object(var object) = params, object["requestKey"] == nil,
      json["params"]?.array?.contains(where: { $0["name"]?.string == "requestKey" }) == true
    else { return params }
    object["requestKey"] = .string(RequestKey.drawn().rawValue)
    return .object(object)
  }
}
