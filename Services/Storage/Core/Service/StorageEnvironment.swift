import AlertAPI
import Logging
import Primitives
import RPC

/// What the storage service needs to know of its host.
public struct StorageEnvironment: Sendable {
  /// Hands an alert to whoever keeps them; never blocks, never fails.
  public typealias Publish =
    @Sendable (
      _ severity: Severity, _ kind: String, _ subject: String, _ message: String, _ data: [String: JSONValue]
    ) -> Void

  /// The storage directory of each leg.
  public var legDirectories: [LegID: String]
  /// The same directories by each leg's second path; those of a leg that is left out are the same.
  public var secondDirectories: [LegID: String] = [:]
  /// Files whose existence cuts the first, and the second, path to a leg.
  public var pathMarks: [LegID: [String]] = [:]
  /// The file whose existence says that the leg's module was shot.
  public var shotMarks: [LegID: String]
  /// Where it is kept, in memory, what layers have not written yet of their own structure (`MetadataLog`); nil keeps nothing.
  public var metadataLogs: String?
  /// The socket of the NBD server, as clients are told.
  public var nbdSocketPath: String
  /// Time within which a leg must answer.
  public var legAnswerBound: Duration
  public var publish: Publish
  public var logger: Logger
  /// The time, in milliseconds since 1970.
  public var now: @Sendable () -> Int64
  /// Called before each step of an operation, with the step's name; throws to stop there, as a kill would.
  var beforeStep: @Sendable (_ step: String) throws -> Void = { _ in }

  public init(
    legDirectories: [LegID: String], shotMarks: [LegID: String], metadataLogs: String? = nil, nbdSocketPath: String,
    legAnswerBound: Duration = .seconds(3), publish: @escaping Publish,
    logger: Logger, now: @escaping @Sendable () -> Int64 = { millisecondsSinceEpoch() }
  ) {
    self.legDirectories = legDirectories
    self.shotMarks = shotMarks
    self.metadataLogs = metadataLogs
    self.nbdSocketPath = nbdSocketPath
    self.legAnswerBound = legAnswerBound
    self.publish = publish
    self.logger = logger
    self.now = now
  }
}
