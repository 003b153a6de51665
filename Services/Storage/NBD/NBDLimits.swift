/// Every bound of the server, in one place.
public struct NBDLimits: Sendable, Hashable {
  /// Connections at the same time. A further one takes the place of the oldest that has not chosen an export; it is
  /// closed at once where there is none.
  public var connections = 1024
  /// Bytes that one request may read or write; announced to clients.
  public var requestBytes = 32 << 20
  /// Bytes of one option.
  public var optionBytes = 64 << 10
  /// Options that a client may send before it has chosen an export.
  public var options = 4096
  /// Queries of one option that lists or chooses metadata contexts.
  public var contextQueries = 1024
  /// Metadata contexts that one client may choose.
  public var contexts = 64
  /// Seconds that a client has, from its connection on, until it must have chosen an export.
  public var negotiationSeconds = 30
  /// Flushes of one connection under way at the same time; a further one waits and holds up what comes after it.
  public var flushesPerConnection = 16
  /// Answers of one connection that may wait until its device lets them go on; with one more it is ended.
  public var heldAnswers = 4096
  /// Threads for flushes, of all connections.
  public var flushThreads = 32
  /// Bytes that one request to cache reads ahead; of a longer range the rest is left as it is.
  public var cacheBytes = 32 << 20
  /// Milliseconds without a request after which a connection gives back the memory of large ones, some 1 MiB.
  public var idleMilliseconds = 1000
  /// Bytes of memory, of all connections, for reads of more than 512 KiB by clients without structured replies, whose
  /// answers must be in one piece. A further one waits. Other requests of any size get by with their connection's buffers.
  public var largeReadBytes = 256 << 20
  /// Seconds that a client has to take such an answer, for others may wait for its memory.
  public var largeReadSeconds = 30
  /// Seconds that `stop` leaves to clients to take their last answers.
  public var stopSeconds = 2

  public init() {}
}
