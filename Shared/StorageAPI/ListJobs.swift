import Primitives
import RPC

/// Lists operations that last: those under way, and the last that ended.
public enum ListJobs: RPCMethod {
  public static let name = "job.list"
  public static let summary = "Lists operations that last: those under way, and the last that ended."
  public static let access = Access.viewer
  public static let effect = Effect.read

  public typealias Params = Nothing

  /// What `job.list` answers.
  public struct Result: WireObject, Equatable {
    /// By number, the oldest first.
    public var jobs: [JobStatus]

    public enum CodingKeys: CodingKey, CaseIterable {
      case jobs
    }

    public static func field(_ key: CodingKeys) -> Field<Result> {
      switch key {
      case .jobs: Field(\.jobs, "By number, the oldest first.")
      }
    }

    public init(jobs: [JobStatus]) {
      self.jobs = jobs
    }
  }
}
