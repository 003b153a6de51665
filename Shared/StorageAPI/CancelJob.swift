import Primitives
import RPC

/// Ends an operation that lasts, and undoes what it did so far. One that has ended already is left as it is.
public enum CancelJob: RPCMethod {
  public static let name = "job.cancel"
  public static let summary = "Ends an operation that lasts, and undoes what it did so far."
  public static let access = Access.operator
  public static let effect = Effect.idempotent
  public static let failures: [StorageFailure] = [.noSuchJob]

  /// What `job.cancel` is told.
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
