import Dispatch
import Primitives
import RPC
import StorageAPI
import Synchronization
import Testing

@testable import StorageCore

extension Instance {
  /// The job once it has ended. Throws when it was stopped, as by a kill.
  @discardableResult
  func ended(_ job: JobStatus) async throws -> JobStatus {
    while true {
      let isRunning = service.jobs.isRunning(job.job)
      let status = try await call(ShowJob.self, .init(job: job.job))
      if status.state != .running { return status }
      guard isRunning else { throw RPCError(CommonFailure.internalError, "The job was stopped.") }
      try await Task.sleep(for: .milliseconds(2))
    }
  }

  /// Waits until every job has ended; all must have been done.
  func allJobsEnded() async throws {
    for job in try await call(ListJobs.self, Nothing()).jobs {
      #expect(try await ended(job).state == .done, "\(job)")
    }
  }

  /// The files of a volume's lowest layer and of the one above it, from the storage directory of a leg on.
  func layerFiles(of volume: VolumeName) async throws -> (lower: String, upper: String) {
    let layers = try await service.chain(of: volume).layers.suffix(2).map(\.path)
    return (layers[1], layers[0])
  }

  @discardableResult
  func snapshot(_ volume: VolumeName, _ name: SnapshotName) async throws -> VolumeStatus {
    try await call(CreateSnapshot.self, .init(volume: volume, snapshot: name))
  }

  @discardableResult
  func revert(_ volume: VolumeName, to name: SnapshotName) async throws -> VolumeStatus {
    try await call(RevertToSnapshot.self, .init(volume: volume, snapshot: name))
  }

  @discardableResult
  func deleteSnapshot(_ volume: VolumeName, _ name: SnapshotName) async throws -> JobStatus {
    try await ended(try await call(DeleteSnapshot.self, .init(volume: volume, snapshot: name)))
  }

  /// A volume of the name of an image with text at its beginning, made into that image.
  func makeImage(_ image: ImageName, text: String, size: Int64 = 8 << 20) async throws {
    let volume = VolumeName(unchecked: image.rawValue)
    try await create(volume, size: size)
    try await write(text, to: volume, at: 0)
    _ = try await call(PromoteVolume.self, .init(volume: volume, image: image))
  }
}

extension SnapshotName: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(unchecked: value) }
}

/// Holds back an operation before one of its steps.
final class Hold: Sendable {
  private let name: String
  private let gate = DispatchSemaphore(value: 0)
  private let isReleased = Atomic(false)

  init(_ step: String) { name = step }

  func step(_ step: String) {
    guard step == name, !isReleased.load(ordering: .acquiring) else { return }
    gate.wait()
  }

  func release() {
    isReleased.store(true, ordering: .releasing)
    gate.signal()
  }
}
