import Primitives
import RPC

/// Shows how far an operation that lasts is.
public enum ShowJob: RPCMethod {
  public static let name = "job.show"
  public static let summary = "Shows how far an operation that lasts is."
  public static let access = Access.viewer
  public static let effect = Effect.read
  public static let failures: [StorageFailure] = [.noSuchJob]

  /// What `job.show` is told.
  public struct Params: WireObject, Equatable {
    /// Its number.
    public var job: Int64

    public enum CodingKeys: CodingKey, CaseIterable {
      case job
    }

    public static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .job: Field(\.job, "Its number.")
      }
    }

    public init(job: Int64) {
      self.job = job
    }
  }

  public typealias Result = JobStatus
}
