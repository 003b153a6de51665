import FTVSClient
import Primitives
import RPC

/// Makes a volume that is filled from elsewhere, and removes it again when that fails or is interrupted.
struct NewVolume: Sendable {
  let session: Session
  /// What is being done, for people.
  var word = "import"
  /// Called first when somebody interrupts.
  var onInterrupt: @Sendable () -> Void = {}

  /// Makes a volume and has `fill` fill it. Until that is whole there is a second one, empty, as the sign that it is not:
  /// `VOLUME.import`.
  ///
  /// - Parameter restart: whether what one left that was cut is removed first.
  func make(
    _ volume: VolumeName, sizeBytes: Int64, restart: Bool, fill: () async throws -> Void
  ) async throws -> VolumeStatus {
    let sign = VolumeName(unchecked: volume.rawValue.prefix(63 - ".import".count) + ".import")
    if restart { try await removeCut(volume, sign) }
    return try await removing([volume, sign]) {
      try await create(sign, sizeBytes: Self.signBytes, sign: sign, of: volume.rawValue)
      do {
        try await create(volume, sizeBytes: sizeBytes)
      } catch {
        await delete(sign)
        throw error
      }
    } then: {
      try await fill()
      _ = try await session.call(DeleteVolume.self, .init(volume: sign), on: .storage)
      return try await session.call(ShowVolume.self, .init(volume: volume), on: .storage)
    }
  }

  private static let signBytes: Int64 = 512

  /// Removes what an import left that was cut. A volume without the sign is somebody's, and stays.
  private func removeCut(_ volume: VolumeName, _ sign: VolumeName) async throws {
    let volumes = try await session.call(ListVolumes.self, Nothing(), on: .storage).volumes
    guard volumes.contains(where: { $0.volume == sign }) else { return }
    for name in [volume, sign] { _ = try await session.call(DeleteVolume.self, .init(volume: name), on: .storage) }
  }

  /// Makes what is to be removed again, then runs `body`; when that fails, or is interrupted, these volumes go.
  func removing<T>(
    _ volumes: [VolumeName], _ make: () async throws -> Void, then body: () async throws -> T
  ) async throws -> T {
    let interrupted = InterruptGuard {
      onInterrupt()
      for volume in volumes { await delete(volume) }
    }
    defer { interrupted.disarm() }
    try await make()
    do {
      return try await body()
    } catch {
      for volume in volumes { await delete(volume) }
      throw error
    }
  }

  private func create(_ volume: VolumeName, sizeBytes: Int64) async throws {
    let params = CreateVolume.Params(volume: volume, sizeBytes: sizeBytes)
    _ = try await session.call(CreateVolume.self, RequestKey.filled(in: params), on: .storage)
  }

  func create(_ volume: VolumeName, sizeBytes: Int64, sign: VolumeName, of name: String) async throws {
    do {
      try await create(volume, sizeBytes: sizeBytes)
    } catch let error as RPCError {
      guard error.matches(StorageFailure.volumeExists) else { throw error }
      throw Complaint(
        """
        Another \(word) of \(name) is under way or was cut: the volume \(sign) exists.
        When nobody does that now, repeat the command with --restart.
        """)
    }
  }

  /// The connection of a program that was ended may last a moment longer.
  private func delete(_ volume: VolumeName) async {
    for _ in 0..<20 {
      do throws(RPCError) {
        _ = try await session.call(DeleteVolume.self, .init(volume: volume), on: .storage)
        return
      } catch {
        guard error.matches(StorageFailure.volumeInUse) else { return }
        try? await Task.sleep(for: .milliseconds(100))
      }
    }
  }
}
