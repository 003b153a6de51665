import FTVSClient
import Glibc
import Primitives
import RPC

/// Fills a volume with what a disk image file holds, over NBD, and compares the two afterwards.
struct DiskImport: Sendable {
  let session: Session
  let qemu = QEMUImage()
  let path: String
  /// What the file is; told by its first bytes when nil.
  let format: DiskFormat?

  // MARK: What it becomes

  /// Makes an image of the library of it. Until it is whole it is a volume `IMAGE.upload`.
  func image(_ image: ImageName, description: String?, restart: Bool) async throws -> ImageStatus {
    if try await session.call(ListImages.self, Nothing(), on: .storage).images.contains(where: { $0.image == image }) {
      throw Complaint(
        "The library has an image \(image) already: choose another name, or ftctl library delete \(image).")
    }
    let file = try await DiskFile(path, format: format, qemu)
    let volume = VolumeName(unchecked: image.rawValue.prefix(63 - ".upload".count) + ".upload")
    if restart { _ = try await session.call(DeleteVolume.self, .init(volume: volume), on: .storage) }
    return try await removing([volume]) {
      try await create(volume, sizeBytes: file.volumeBytes, sign: volume, of: image.rawValue)
    } then: {
      try await fill(volume, with: file, title: image.rawValue)
      let params = PromoteVolume.Params(volume: volume, image: image, description: description)
      return try await session.call(PromoteVolume.self, RequestKey.filled(in: params), on: .storage)
    }
  }

  /// Makes a new volume of it. Until it is whole there is a second one, empty, as the sign that it is not:
  /// `VOLUME.import`.
  func volume(_ volume: VolumeName, restart: Bool) async throws -> VolumeStatus {
    let file = try await DiskFile(path, format: format, qemu)
    let sign = VolumeName(unchecked: volume.rawValue.prefix(63 - ".import".count) + ".import")
    if restart { try await removeCut(volume, sign) }
    return try await removing([volume, sign]) {
      try await create(sign, sizeBytes: Self.signBytes, sign: sign, of: volume.rawValue)
      do {
        try await create(volume, sizeBytes: file.volumeBytes)
      } catch {
        await delete(sign)
        throw error
      }
    } then: {
      try await fill(volume, with: file, title: volume.rawValue)
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

  // MARK: Parts

  /// Makes what is to be removed again, then runs `body`; when that fails, or is interrupted, these volumes go.
  private func removing<T>(
    _ volumes: [VolumeName], _ make: () async throws -> Void, then body: () async throws -> T
  ) async throws -> T {
    let interrupted = InterruptGuard {
      qemu.runner.stop()
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

  private func create(_ volume: VolumeName, sizeBytes: Int64, sign: VolumeName, of name: String) async throws {
    do {
      try await create(volume, sizeBytes: sizeBytes)
    } catch let error as RPCError {
      guard error.matches(StorageFailure.volumeExists) else { throw error }
      throw Complaint(
        """
        An import of \(name) is under way or was cut: the volume \(sign) exists.
        When nobody imports it now, repeat the command with --restart.
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

  private func fill(_ volume: VolumeName, with file: DiskFile, title: String) async throws {
    let data = try await qemu.dataBytes(file.source)
    for leg in try await session.call(GetLegs.self, Nothing(), on: .storage).legs where leg.state == .inStep {
      guard let free = leg.freeBytes, free < data else { continue }
      throw Complaint("\(path) holds \(Sizes.text(data)), and leg \(leg.leg) has \(Sizes.text(free)) left.")
    }
    let export = try await session.call(ExportVolumeToCaller.self, .init(volume: volume), on: .storage)
    let target = QEMUSource.export(export, socket: session.nbdSocket(export))
    try await qemu.fill(target, from: file.source, "Importing \(title)", bytes: file.volumeBytes)
    try await qemu.compare(file.source, target, "Comparing \(title)", bytes: file.volumeBytes)
  }
}

extension Session {
  /// The socket of the NBD server as seen from here: beside those of the services, also where ssh forwards them.
  func nbdSocket(_ export: CallerExport) -> String {
    let forwarded = "\(directory)/nbd.sock"
    return access(forwarded, F_OK) == 0 ? forwarded : export.socketPath
  }
}
