import Primitives
import RPC

/// An operation that lasts: what it does, how far it is, how it ended.
public struct JobStatus: WireObject, Equatable {
  /// Its number, which grows with every job.
  public var job: Int64
  /// Method that began it; volume.mergeLayers or library.checksum where the service itself did.
  public var operation: String
  /// What it works on: the name of a volume or an image.
  public var subject: String
  /// How it stands.
  public var state: JobState
  /// Bytes that were gone through.
  public var doneBytes: Int64
  /// Bytes there are in all; 0 where there is nothing to copy.
  public var totalBytes: Int64
  /// Why it failed, or why it waits.
  public var reason: String?
  /// When it began, in milliseconds since 1970.
  public var createdMilliseconds: Int64
  /// When it ended.
  public var endedMilliseconds: Int64?

  public enum CodingKeys: CodingKey, CaseIterable {
    case job, operation, subject, state, doneBytes, totalBytes, reason, createdMilliseconds, endedMilliseconds
  }

  public static func field(_ key: CodingKeys) -> Field<JobStatus> {
    switch key {
    case .job: Field(\.job, "Its number, which grows with every job.")
    case .operation:
      Field(
        \.operation, "Method that began it; volume.mergeLayers or library.checksum where the service itself did.")
    case .subject: Field(\.subject, "What it works on: the name of a volume or an image.")
    case .state: Field(\.state, "How it stands.")
    case .doneBytes: Field(\.doneBytes, "Bytes that were gone through.")
    case .totalBytes: Field(\.totalBytes, "Bytes there are in all; 0 where there is nothing to copy.")
    case .reason: Field(\.reason, "Why it failed, or why it waits.")
    case .createdMilliseconds: Field(\.createdMilliseconds, "When it began, in milliseconds since 1970.")
    case .endedMilliseconds: Field(\.endedMilliseconds, "When it ended.")
    }
  }

  public init(
    job: Int64,
    operation: String,
    subject: String,
    state: JobState,
    doneBytes: Int64,
    totalBytes: Int64,
    reason: String? = nil,
    createdMilliseconds: Int64,
    endedMilliseconds: Int64? = nil
  ) {
    self.job = job
    self.operation = operation
    self.subject = subject
    self.state = state
    self.doneBytes = doneBytes
    self.totalBytes = totalBytes
    self.reason = reason
    self.createdMilliseconds = createdMilliseconds
    self.endedMilliseconds = endedMilliseconds
  }
}
