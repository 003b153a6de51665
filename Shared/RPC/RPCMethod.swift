/// A method of the contract, declared once.
///
/// Server, client, `ftctl` and the OpenRPC document derive from the declaration; nothing else spells the name.
public protocol RPCMethod: Sendable {
  associatedtype Params: WireObject
  associatedtype Result: WireValue
  associatedtype Failure: RPCFailure = CommonFailure

  /// `noun.verb`, camelCase, unabbreviated.
  static var name: String { get }
  /// One sentence.
  static var summary: String { get }
  /// Who may call it.
  static var access: Access { get }
  /// What a repeat of the same request does.
  static var effect: Effect { get }
  /// Failures of its own; every method may also end with a `CommonFailure`.
  static var failures: [Failure] { get }
}

extension RPCMethod {
  public static var failures: [Failure] { [] }
}

/// A method whose answer is followed by notifications of events until either side ends it.
///
/// The answer's `subscription` names it. Each event is a notification with the method's own name and the parameters
/// `subscription` and `event`; the last one has `end` in place of `event`, null or an error object. The client ends it
/// by calling `rpc.unsubscribe`, or by closing the connection.
public protocol RPCSubscription: RPCMethod where Result == Subscribed {
  associatedtype Event: WireObject
}

/// The answer to a subscription.
public struct Subscribed: WireObject, Equatable {
  /// Identifier that the events of this subscription carry; unique on this connection.
  public var subscription: Int

  public enum CodingKeys: CodingKey, CaseIterable { case subscription }
  public static func field(_ key: CodingKeys) -> Field<Subscribed> {
    switch key {
    case .subscription: Field(\.subscription, "Identifier that the events of this subscription carry.")
    }
  }
  public init(subscription: Int) { self.subscription = subscription }
}

/// Who may call a method.
///
/// Roles come from the peer's Unix user and groups: `viewer` < `operator` < `admin`, and `service` beside them. Root
/// is admin and service.
public enum Access: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Whoever can connect: liveness and the description of the API.
  case anyone
  /// Sees everything, changes nothing. Services may, too.
  case viewer
  /// Starts, stops, repairs. Services may, too.
  case `operator`
  /// Creates, deletes, forces.
  case admin
  /// Only other services of this host: fencing, heartbeat, publishing.
  case service
}

/// What a repeat of the same request does.
public enum Effect: String, Sendable, Hashable, CaseIterable, Codable, WireValue {
  /// Changes nothing.
  case read
  /// Changes something; a repeat leaves what the first left and answers alike.
  case idempotent
  /// Changes something at each execution: the parameters carry a `requestKey`, and a repeat with the same key gets the
  /// first one's answer.
  case keyed
}
