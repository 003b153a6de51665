import ControlState
import Primitives
import RPC
import StorageAPI

/// The library of read-only images.
extension StorageService {
  func images() async throws(RPCError) -> ListImages.Result {
    let found = try await state.read { database in
      try Catalog.images(in: database).map { image in
        (
          image, try Catalog.chain(from: image.top, in: database),
          try Catalog.users(of: image.name, in: database)
        )
      }
    }
    return try await blocking {
      .init(images: found.map { self.status(of: $0.0, layers: $0.1, usedBy: $0.2) })
    }
  }

  func status(of image: ImageRecord, layers: [LayerRecord], usedBy: [VolumeName]) -> ImageStatus {
    let primary = legs.inStep.first
    let allocated = layers.reduce(Int64(0)) { sum, layer in
      sum + (primary.map { files.allocatedBytes(layer.path, on: $0) } ?? 0)
    }
    return ImageStatus(
      image: image.name, sizeBytes: image.sizeBytes, allocatedBytes: allocated, description: image.description,
      operatingSystem: image.operatingSystem, tags: image.tags, createdMilliseconds: image.createdMilliseconds,
      contentSHA256: image.contentSHA256, usedBy: usedBy, lastScrub: image.lastScrub?.status)
  }

  /// Makes a volume's only layer the image's: its file gets a second name, the state follows, the first name goes.
  func promote(_ params: PromoteVolume.Params) async throws(RPCError) -> ImageStatus {
    let name = params.volume
    let description = try Self.checkedDescription(params.description)
    return try await locks.with(name.rawValue, for: PromoteVolume.name) { () throws(RPCError) in
      if let answer = try await state.answer(for: PromoteVolume.self, params) { return answer }
      let chain = try await chain(of: name)
      try await requireDisconnected(chain.volume)
      if chain.hasUndoLayer { throw Complaint.promoteUndo(name) }
      if let image = chain.image { throw Complaint.promoteBased(name, on: image) }
      if !chain.snapshots.isEmpty { throw Complaint.promoteSnapshots(name, chain.snapshots.map(\.name)) }
      try await requireNoJob(on: name)
      guard let old = chain.layers.first, chain.layers.count == 1 else {
        throw Complaint.internalError("volume \(name) has \(chain.layers.count) layers and no undo layer")
      }
      // An image is never written again, so nobody would look for differences later.
      if chain.volume.legsDiffer { _ = try await equalize(chain) }
      var new = old
      new.owner = .image(params.image)
      let planned = new
      let image = ImageRecord(
        name: params.image, sizeBytes: chain.volume.sizeBytes, top: new.id, description: description,
        createdMilliseconds: environment.now())
      try step("promote.plan")
      try await state.write { transaction in
        try Self.requireNoImage(image.name, in: transaction)
        try transaction.addLooseFile(planned.path)
      }
      let status = try await removingLooseFiles(of: [planned]) { () throws(RPCError) in
        try step("promote.link")
        try await blocking { () throws(RPCError) in try self.store.link(old, as: planned) }
        try step("promote.commit")
        return try await state.perform(PromoteVolume.self, params) { transaction in
          try Self.requireNoImage(image.name, in: transaction)
          try transaction.forgetVolume(chain.volume)
          try transaction.removeLayer(old)
          try transaction.removeLooseFile(planned.path)
          try transaction.insert(planned)
          try transaction.insert(image)
          return self.status(of: image, layers: [planned], usedBy: [])
        }
      }
      try step("promote.files")
      await removeLooseFiles([old.path])
      publish(
        .info, .imageAdded, params.image.rawValue,
        "Volume \(name) is now the library image \(params.image); volumes can be based on it.",
        ["volume": .string(name.rawValue), "sizeBytes": .integer(status.sizeBytes)])
      await beginSums(of: params.image)
      return status
    }
  }

  static func requireNoImage(_ name: ImageName, in transaction: Transaction) throws {
    let database = transaction.database
    guard try Catalog.image(name, in: database) == nil,
      try !Catalog.runningJobs(in: database).contains(where: { $0.operation == .capture && $0.image == name })
    else { throw Complaint.imageExists(name) }
  }

  func updateImage(_ params: UpdateImage.Params) async throws(RPCError) -> ImageStatus {
    let name = params.image
    if let description = params.description { _ = try Self.checkedDescription(description) }
    if let system = params.operatingSystem, system.count > StorageLimits.systemCharacters {
      throw Complaint.invalidParameter(
        "operatingSystem has at most \(StorageLimits.systemCharacters) characters; this one has \(system.count).")
    }
    if let tags = params.tags { try Self.check(tags: tags) }
    let (image, layers, users) = try await state.write { transaction in
      guard var image = try Catalog.image(name, in: transaction.database) else { throw Complaint.noSuchImage(name) }
      image.description = params.description ?? image.description
      image.operatingSystem = params.operatingSystem ?? image.operatingSystem
      image.tags = params.tags ?? image.tags
      try transaction.execute(
        "UPDATE image SET description = ?, operatingSystem = ?, tags = ? WHERE name = ?",
        [image.description, image.operatingSystem, image.tags.joined(separator: " "), name.rawValue])
      return (
        image, try Catalog.chain(from: image.top, in: transaction.database),
        try Catalog.users(of: name, in: transaction.database)
      )
    }
    return try await blocking { self.status(of: image, layers: layers, usedBy: users) }
  }

  private static func check(tags: [String]) throws(RPCError) {
    guard tags.count <= StorageLimits.tags else {
      throw Complaint.invalidParameter("An image has at most \(StorageLimits.tags) tags; these are \(tags.count).")
    }
    for tag in tags {
      let isAllowed = tag.utf8.allSatisfy { byte in
        byte.isASCIIAlphanumeric || [UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-")].contains(byte)
      }
      guard isAllowed, (1...StorageLimits.tagCharacters).contains(tag.utf8.count) else {
        throw Complaint.invalidParameter(
          "\"\(tag.prefix(64))\" is no tag: it has 1 to \(StorageLimits.tagCharacters) letters, digits, '.', '_' and '-'."
        )
      }
    }
  }

  func deleteImage(_ params: DeleteImage.Params) async throws(RPCError) -> DeleteImage.Result {
    let name = params.image
    try await endJobs(on: name)
    let removed = try await locks.with(ReadSource.lock(of: name), for: DeleteImage.name) { () throws(RPCError) in
      try requireNoReader(of: name)
      return try await freeingSpace { () throws(RPCError) in
        try await state.write { transaction in try Self.removeImage(name, in: &transaction) }
      }
    }
    guard let removed else { return .init(deleted: false) }
    try step("deleteImage.files")
    await removeLooseFiles(removed.map(\.path))
    publish(.info, .imageDeleted, name.rawValue, "Image \(name) was deleted from the library.")
    return .init(deleted: true)
  }

  /// The layers that were the image's; nil when there is none.
  private static func removeImage(_ name: ImageName, in transaction: inout Transaction) throws -> [LayerRecord]? {
    guard let image = try Catalog.image(name, in: transaction.database) else { return nil }
    let users = try Catalog.users(of: name, in: transaction.database)
    guard users.isEmpty else { throw Complaint.imageInUse(name, by: users) }
    let layers = try Catalog.chain(from: image.top, in: transaction.database).filter { $0.image == name }
    try transaction.execute("DELETE FROM image WHERE name = ?", [name.rawValue])
    try transaction.forgetScrubs(of: .image(name))
    for layer in layers { try transaction.removeLayer(layer) }
    return layers
  }
}
