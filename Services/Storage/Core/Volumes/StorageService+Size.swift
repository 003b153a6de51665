import BlockLayers
import ControlState
import Primitives
import RPC
import StorageAPI

/// Making volumes larger, and looking whether their layers are as they should be.
extension StorageService {
  func resize(_ params: ResizeVolume.Params) async throws(RPCError) -> VolumeStatus {
    let name = params.volume
    let size = try Self.checkedSize(params.sizeBytes)
    return try await locks.with(name.rawValue, for: ResizeVolume.name) { () throws(RPCError) in
      let chain = try await chain(of: name)
      guard let top = chain.layers.first else { throw Complaint.internalError("volume \(name) has no layer") }
      guard size >= chain.volume.sizeBytes else {
        throw Complaint.size(
          size, "Volume \(name) has \(chain.volume.sizeBytes) bytes; it can be made larger, not smaller.")
      }
      if size == chain.volume.sizeBytes { return try await blocking { self.status(of: chain) } }
      if chain.hasUndoLayer { throw Complaint.undoFirst(name) }
      let isUsed = table.sessionCount(of: name) > 0
      try step("resize.begin")
      try await state.write { transaction in
        try transaction.execute("UPDATE volume SET openForWriting = 1 WHERE name = ?", [name.rawValue])
      }
      let status = try await withClientsWaiting(for: name) { () throws(RPCError) in
        try step("resize.file")
        try await blocking { () throws(RPCError) in try self.store.grow(top, to: size) }
        try step("resize.commit")
        return try await state.write { transaction in
          let job = try Catalog.runningJob(on: name, in: transaction.database)
          try transaction.execute(
            "UPDATE volume SET sizeBytes = ?, openForWriting = ? WHERE name = ?",
            [size, isUsed || job != nil, name.rawValue])
          var resized = chain
          resized.volume.sizeBytes = size
          return self.status(of: resized)
        }
      }
      publish(
        .info, .volumeResized, name.rawValue, "Volume \(name) has \(size) bytes now.",
        ["sizeBytes": .integer(size), "sizeBytesBefore": .integer(chain.volume.sizeBytes)])
      return status
    }
  }

  func check(_ params: CheckVolume.Params) async throws(RPCError) -> CheckVolume.Result {
    let name = params.volume
    let chain = try await chain(of: name)
    let stack = table.stack(of: name)
    return try await blocking { () throws(RPCError) in
      // What only memory knows would be missed in the files.
      if let stack { try? stack.top.flush() }
      return try self.store.check(chain.layers + chain.branches)
    }
  }
}
