import ArgumentParser
import FTVSClient
import Glibc
import LabAPI
import Primitives
import RPC

/// One run of ftctl against one host.
struct Session: Sendable {
  /// Directory of the sockets.
  let directory: String
  let output: OutputFormat
  /// How long a service that does not answer is waited for.
  let timeout: Duration
  private let clients: ClientPool

  init(directory: String, output: OutputFormat, timeout: Duration) {
    self.directory = directory
    self.output = output
    self.timeout = timeout
    clients = ClientPool(directory: directory, deadline: timeout)
  }

  var isJSON: Bool { output == .json }

  /// The service behind a socket: a connection that is made anew when it is cut.
  func client(_ service: Socket) throws(RPCError) -> ServiceClient { try clients.client(service) }

  func call<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, on service: Socket
  ) async throws(RPCError) -> M.Result {
    try await client(service).call(method, params)
  }

  /// Calls a method and prints what it answers: the JSON as it came, or the text that `text` makes of it.
  func show<M: RPCMethod>(
    _ method: M.Type, _ params: M.Params, on service: Socket, _ text: (M.Result) -> String
  ) async throws {
    let keyed = try WireCoder.encode(RequestKey.filled(in: params))
    let json = try await client(service).call(method: M.name, params: keyed, effect: M.effect)
    if isJSON {
      Terminal.say(JSON.indented(json))
    } else {
      Terminal.say(text(try WireCoder.decode(M.Result.self, from: json, unknownMembers: .ignore, name: "result")))
    }
  }

  /// Prints a value of the API.
  func print<T: WireValue>(_ value: T, _ text: (T) -> String) {
    guard isJSON else { return Terminal.say(text(value)) }
    do throws(RPCError) {
      Terminal.say(JSON.indented(try WireCoder.encode(value)))
    } catch {
      Terminal.complain(error.message)
    }
  }

  /// Prints an event: one line of JSON, or a line of text.
  func printEvent<T: WireValue>(_ event: T, _ text: (T) -> String) {
    guard isJSON else { return Terminal.say(text(event)) }
    if let json = try? WireCoder.encode(event) { Terminal.say(JSON.text(json)) }
  }

  /// Passes the events of a subscription to `body` until that says false, subscribing again after a failover.
  ///
  /// - Parameter params: Asked for at each subscription, so that it can go on where the last one ended.
  func follow<S: RPCSubscription>(
    _ subscription: S.Type, on service: Socket, params: () -> S.Params, reconnecting: () -> Void = {},
    _ body: (S.Event) async throws -> Bool
  ) async throws {
    var lastSign = ContinuousClock.now
    while true {
      do {
        for try await event in try await client(service).subscribe(subscription, params()) {
          lastSign = .now
          guard try await body(event) else { return }
        }
        lastSign = .now
      } catch let error as RPCError {
        guard error.isPassing, ContinuousClock.now - lastSign < timeout else { throw error }
      }
      try Task.checkCancellation()
      reconnecting()
      try await Task.sleep(for: .milliseconds(100))
    }
  }
}

extension RPCError {
  /// Whether the same may succeed in a moment, on the service's other instance.
  var isPassing: Bool { matches(CommonFailure.connectionLost) || matches(CommonFailure.stopping) }
}

extension RequestKey {
  /// A key drawn now.
  static func drawn() -> RequestKey { .random(millisecondsSinceEpoch: Times.current.now) }

  /// The parameters, with a key where they take one and have none: so that a repeat after a failover is recognized.
  static func filled<Params: WireObject>(in params: Params) -> Params {
    guard var keyed = params as? any KeyedParams, keyed.requestKey == nil else { return params }
    keyed.requestKey = drawn()
    return keyed as? Params ?? params
  }
}

/// A socket of the host: a service's, or the lab's.
enum Socket: String, CaseIterable, Sendable, ExpressibleByArgument {
  case hardware, vm, storage, alerts, lab

  init(_ service: ServiceName) {
    switch service {
    case .hardware: self = .hardware
    case .vm: self = .vm
    case .storage: self = .storage
    case .alerts: self = .alerts
    }
  }
}

/// The connections of one run, made when first used.
private struct ClientPool: Sendable {
  private let clients: [Socket: ServiceClient]

  init(directory: String, deadline: Duration) {
    clients = Dictionary(
      uniqueKeysWithValues: Socket.allCases.map {
        ($0, ServiceClient(socketPath: "\(directory)/\($0.rawValue).sock", deadline: deadline))
      })
  }

  func client(_ socket: Socket) throws(RPCError) -> ServiceClient {
    guard let client = clients[socket] else {
      throw RPCError(CommonFailure.unreachable, "There is no socket \(socket.rawValue).")
    }
    return client
  }
}
