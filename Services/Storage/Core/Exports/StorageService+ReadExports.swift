import ControlState
import Primitives
import RPC
import StorageAPI

/// Exports to administrators who move disk images in and out: volumes that nobody uses, to be written or read, and
/// snapshots and images, to be read.
extension StorageService {
  func exportToCaller(_ params: ExportVolumeToCaller.Params, _ caller: Caller) async throws(RPCError) -> CallerExport {
    let name = params.volume
    if let snapshot = params.snapshot {
      let found = try Self.snapshot(snapshot, of: try await chain(of: name))
      return try await allowReading(found.layer, by: caller, sizeBytes: found.sizeBytes)
    }
    return try await locks.with(name.rawValue, for: ExportVolumeToCaller.name) { () throws(RPCError) in
      try await requireDisconnected(try await chain(of: name).volume)
      try await requireNoJob(on: name)
      let status = try await export(.init(volume: name, clientUserID: Int(caller.userID)))
      return CallerExport(
        exportName: status.exportName, socketPath: status.socketPath, sizeBytes: status.sizeBytes, readOnly: false)
    }
  }

  func exportToCaller(_ params: ExportImageToCaller.Params, _ caller: Caller) async throws(RPCError) -> CallerExport {
    let found = try await state.read { database in try Catalog.image(params.image, in: database) }
    guard let found else { throw Complaint.noSuchImage(params.image) }
    return try await allowReading(found.top, by: caller, sizeBytes: found.sizeBytes)
  }

  private func allowReading(
    _ layer: String, by caller: Caller, sizeBytes: Int64
  ) async throws(RPCError) -> CallerExport {
    let now = environment.now()
    try await state.write { transaction in try transaction.allowReading(layer, by: caller.userID, at: now) }
    return CallerExport(
      exportName: ReadExportName(layer: layer).description, socketPath: environment.nbdSocketPath,
      sizeBytes: sizeBytes, readOnly: true)
  }

  // MARK: Clients

  /// Admits a client that reads, if it was allowed to. Blocks.
  func openReading(_ export: ReadExportName, userID: UInt32) throws(RPCError) -> ReadingDevice {
    try waitBlocking { () throws(RPCError) in try await self.admitReader(export, userID) }
  }

  private func admitReader(_ export: ReadExportName, _ userID: UInt32) async throws(RPCError) -> ReadingDevice {
    let source = try await readSource(export, userID)
    return try await locks.with(source.lock, for: "a client's connection") { () throws(RPCError) in
      guard !isStopping.load(ordering: .acquiring) else {
        throw RPCError(CommonFailure.stopping, "The storage service hands over to its other instance; connect again.")
      }
      // It may have gone while the lock was waited for.
      guard try await readSource(export, userID) == source else { throw Complaint.noReadExport(export) }
      var bitmaps: [DirtyBitmap] = []
      if case .snapshot(let snapshot, let volume) = source.kind {
        try await requireNoRunningJob(on: volume)
        bitmaps = try await dirtyBitmaps(of: volume, at: snapshot)
      }
      return try await reading(source, from: export.layer, bitmaps)
    }
  }

  /// Opens what is read, which stays as long as the device is there. The caller holds the source's lock.
  func reading(
    _ source: ReadSource, from layer: String, _ dirtyBitmaps: [DirtyBitmap] = []
  ) async throws(RPCError) -> ReadingDevice {
    let layers = try await state.read { database in try Catalog.chain(from: layer, in: database) }
    let opened = try await blocking { () throws(RPCError) in try self.store.open(layers, writable: 0..<0) }
    guard let top = opened.first else { throw Complaint.internalError("\(source.subject) has no layer") }
    readers.begin(source.lock)
    return ReadingDevice(
      source.subject, of: opened, top: top.device, sizeBytes: source.sizeBytes, dirtyBitmaps: dirtyBitmaps
    ) {
      self.readers.end(source.lock)
    }
  }

  private func readSource(_ export: ReadExportName, _ userID: UInt32) async throws(RPCError) -> ReadSource {
    let now = environment.now()
    let (isAllowed, source) = try await state.read { database in
      (
        try Catalog.mayRead(export.layer, userID, at: now, in: database),
        try Catalog.readSource(export.layer, in: database)
      )
    }
    guard isAllowed, let source else { throw Complaint.noReadExport(export) }
    return source
  }

  /// The names under which a user may read.
  func readExportNames(for userID: UInt32) throws(RPCError) -> [String] {
    let now = environment.now()
    return try waitBlocking { () throws(RPCError) in
      try await self.state.read { database in
        try Catalog.readable(by: userID, at: now, in: database).map { ReadExportName(layer: $0).description }
      }
    }
  }

  /// Refuses what would take away the layers that clients read.
  func requireNoReader(of volume: VolumeName) throws(RPCError) {
    guard readers.count(volume.rawValue) > 0 else { return }
    throw RPCError(
      StorageFailure.volumeInUse,
      "A snapshot of volume \(volume) is being read over NBD; repeat the call when that has ended.",
      data: ["volume": .string(volume.rawValue)])
  }

  /// The same for an image.
  func requireNoReader(of image: ImageName) throws(RPCError) {
    guard readers.count(ReadSource.lock(of: image)) > 0 else { return }
    throw RPCError(
      StorageFailure.imageInUse, "Image \(image) is being read over NBD; repeat the call when that has ended.",
      data: ["image": .string(image.rawValue)])
  }
}

extension Complaint {
  /// Not told apart: whoever may not read it is not told whether it is there.
  fileprivate static func noReadExport(_ export: ReadExportName) -> RPCError {
    RPCError(
      StorageFailure.noSuchVolume,
      "\(export) is no export; volume.exportToCaller and library.exportToCaller make one that lasts for a day.",
      data: ["exportName": .string(export.description)])
  }
}
