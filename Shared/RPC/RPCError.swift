/// The error of a call, as it goes over the wire.
///
/// `code` and `kind` are stable and say the same; `message` is for people and says what to do; `data` holds the facts.
/// A code that this build does not know survives decoding.
public struct RPCError: Error, Sendable, Hashable, CustomStringConvertible {
  public var code: Int
  public var kind: String
  public var message: String
  public var data: JSONObject

  public init(code: Int, kind: String, message: String, data: JSONObject = [:]) {
    self.code = code
    self.kind = kind
    self.message = message
    self.data = data
  }

  /// An error of a declared failure. `message` says what happened and what to do about it.
  public init(_ failure: some RPCFailure, _ message: String, data: JSONObject = [:]) {
    self.init(code: failure.rawValue, kind: failure.kind, message: message, data: data)
  }

  /// Whether this error is of that failure.
  public func matches(_ failure: some RPCFailure) -> Bool { code == failure.rawValue }

  public var description: String { "\(kind) (\(code)): \(message)" }
}

/// Failures with stable codes: an enumeration of `Int`s, the case's name being the kind.
///
/// Ranges: 1 to 99 common, 1000 hardware, 2000 vm, 3000 storage, 4000 alerts, 5000 lab; each range is a thousand.
public protocol RPCFailure: RawRepresentable<Int>, Sendable, Hashable, CaseIterable {
  /// One sentence that describes it in general, for the API's description.
  var summary: String { get }
}

extension RPCFailure {
  /// The stable word that goes with the code.
  public var kind: String { String(describing: self) }
}

/// Failures that every method of every service may end with. Negative codes are those of JSON-RPC 2.0, section 5.1.
public enum CommonFailure: Int, RPCFailure {
  case parseError = -32700
  case invalidRequest = -32600
  case methodNotFound = -32601
  case invalidParams = -32602
  case internalError = -32603
  case forbidden = 1
  case limitExceeded
  case requestKeyExpired
  case requestKeyReused
  case stopping
  case stateUnavailable
  case timedOut
  case connectionLost
  case answerNotUnderstood
  case unreachable
  case cancelled

  public var summary: String {
    switch self {
    case .parseError: "The message is not JSON."
    case .invalidRequest: "The JSON is not a request."
    case .methodNotFound: "This service has no such method; rpc.discover lists those it has."
    case .invalidParams: "A parameter is missing, unknown, of the wrong type or out of range."
    case .internalError: "The service failed; its log says why."
    case .forbidden: "The caller's Unix groups do not give the role that this method needs."
    case .limitExceeded: "A limit on size, number or rate was reached; wait or send less."
    case .requestKeyExpired: "The request key is older than the service remembers; the request was not executed."
    case .requestKeyReused: "The request key belongs to another request; draw a new one."
    case .stopping: "The service is handing over to its other instance; repeat the call."
    case .stateUnavailable: "The service cannot read or write its state."
    case .timedOut: "No answer came in time; the call may have been executed."
    case .connectionLost: "The connection ended before the answer; the call may have been executed."
    case .answerNotUnderstood: "The answer holds what this client does not know; use the client of the host's version."
    case .unreachable: "Nothing listens on the service's socket; the call was not executed."
    case .cancelled: "The caller gave up before the answer; the call may have been executed."
    }
  }
}
