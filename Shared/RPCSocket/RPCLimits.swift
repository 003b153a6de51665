/// Every limit of the socket layer, of both sides. The parser's own are in `JSON`.
public struct RPCLimits: Sendable {
  // MARK: Frames

  /// Bytes of one message; longer ones break the connection.
  public var frameBytes = 16 << 20
  /// Time from a frame's first byte to its last, while this side reads.
  public var frameTimeout = Duration.seconds(30)
  /// Bytes of one server's unfinished and large frames, all connections together; frames beyond that are refused.
  public var inboundBytes = 64 << 20
  /// Frames up to this are parsed on the event loop; longer ones in their request's task.
  public var inlineParseBytes = 64 << 10

  // MARK: Server

  /// Connections of one server; more are told so and closed.
  public var connections = 4_096
  /// Connections of one user other than root and the services.
  public var connectionsPerUser = 2_048
  /// Requests of one connection that are handled at once; further ones wait unread.
  public var requestsPerConnection = 64
  /// Requests in one batch.
  public var batchRequests = 1_024
  /// Subscriptions of one connection.
  public var subscriptionsPerConnection = 64
  /// Bytes waiting for a client beyond which its events wait, too.
  public var eventQueueBytes = 1 << 20
  /// Time in which such a client must have taken what waits, or its subscriptions are cut.
  public var eventTimeout = Duration.seconds(5)
  /// Bytes waiting for a client beyond which its requests are not read.
  public var readPauseBytes = 4 << 20
  /// Bytes waiting for a peer beyond which its connection is closed.
  public var outboundBytes = 64 << 20
  /// Time that a peer may take nothing of what waits for it.
  public var writeTimeout = Duration.seconds(30)
  /// Pause of accepting when the process is out of descriptors or memory.
  public var acceptPause = Duration.milliseconds(50)

  // MARK: Client

  /// Time that a call may take when nothing else is said.
  public var callTimeout = Duration.seconds(30)
  /// Time that connecting may take when nothing else is said: a full backlog is waited for.
  public var connectTimeout = Duration.seconds(10)
  /// Calls of one client without an answer.
  public var pendingCalls = 4_096
  /// Events that wait for the client's program; a subscription with more is ended.
  public var waitingEvents = 4_096

  public init() {}
}
