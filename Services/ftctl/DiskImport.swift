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
    let new = NewVolume(session: session, onInterrupt: { qemu.runner.stop() })
    return try await new.removing([volume]) {
      try await new.create(volume, sizeBytes: file.volumeBytes, sign: volume, of: image.rawValue)
    } then: {
      try await fill(volume, with: file, title: image.rawValue)
      let params = PromoteVolume.Params(volume: volume, image: image, description: description)
      return try await session.call(PromoteVolume.self, RequestKey.filled(in: params), on: .storage)
    }
  }

  /// Makes a new volume of it.
  func volume(_ volume: VolumeName, restart: Bool) async throws -> VolumeStatus {
    let file = try await DiskFile(path, format: format, qemu)
    let new = NewVolume(session: session, onInterrupt: { qemu.runner.stop() })
    return try await new.make(volume, sizeBytes: file.volumeBytes, restart: restart) {
      try await fill(volume, with: file, title: volume.rawValue)
    }
  }

  // MARK: Parts

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
