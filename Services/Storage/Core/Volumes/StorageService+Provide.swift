import BlockLayers
import FoundationEssentials
import Primitives
import RPC
import StorageAPI

/// Volumes that another service fills with their first contents.
///
/// The first sector is written last: a volume whose first sector is empty was not filled whole, and is filled again.
extension StorageService {
  private static var sector: Int { Int(StorageLimits.sectorBytes) }

  func provide(_ params: ProvideVolume.Params) async throws(RPCError) -> ProvideVolume.Result {
    let name = params.volume
    guard let text = params.data else { return .init(provided: try await isProvided(name)) }
    guard let data = Self.decode(base64: text) else {
      throw Complaint.invalidParameter("data is not base64 (RFC 4648, section 4, with padding).")
    }
    guard !data.isEmpty, data.count <= StorageLimits.transferBytes, data.count % Self.sector == 0 else {
      throw Complaint.size(
        Int64(data.count),
        "The contents have \(data.count) bytes; a multiple of 512 from 512 bytes to 4 MiB is expected.")
    }
    guard data.prefix(Self.sector).contains(where: { $0 != 0 }) else {
      throw Complaint.invalidParameter("The first 512 bytes are empty: nobody could tell that the volume was filled.")
    }
    if try await isProvided(name) { return .init(provided: true) }
    do {
      _ = try await create(.init(volume: name, sizeBytes: Int64(data.count)))
    } catch  where error.matches(StorageFailure.volumeExists) {
      // Its filling was cut off.
    }
    return .init(provided: try await fill(name, with: [UInt8](data)))
  }

  /// Whether the volume is there and its first sector is not empty.
  private func isProvided(_ name: VolumeName) async throws(RPCError) -> Bool {
    try await locks.with(name.rawValue, for: ProvideVolume.name) { () throws(RPCError) in
      guard let chain = try await state.read({ database in try Catalog.chain(of: name, in: database) }) else {
        return false
      }
      return try await isFilled(chain)
    }
  }

  private func isFilled(_ chain: Chain) async throws(RPCError) -> Bool {
    let name = chain.volume.name
    return try await withLayers(of: chain, writing: false) { stack throws(RPCError) in
      do throws(BlockError) {
        return try stack.top.bytes(at: 0, count: Self.sector).contains { $0 != 0 }
      } catch {
        throw Self.complaint(about: error, while: "reading volume \(name)")
      }
    }
  }

  private func fill(_ name: VolumeName, with bytes: [UInt8]) async throws(RPCError) -> Bool {
    try await locks.with(name.rawValue, for: ProvideVolume.name) { () throws(RPCError) in
      let chain = try await chain(of: name)
      if try await isFilled(chain) { return true }
      guard chain.volume.sizeBytes == Int64(bytes.count) else {
        throw Complaint.size(
          Int64(bytes.count),
          "Volume \(name) is empty and has \(chain.volume.sizeBytes) bytes, the contents \(bytes.count); delete it, or take "
            + "another one.")
      }
      try await requireDisconnected(chain.volume)
      return try await withLayers(of: chain, writing: true) { stack throws(RPCError) in
        do throws(BlockError) {
          try stack.top.write(Array(bytes[Self.sector...]), at: StorageLimits.sectorBytes)
          try stack.top.flush()
          try stack.top.write(Array(bytes[..<Self.sector]), at: 0)
          try stack.top.flush()
        } catch {
          throw Self.complaint(about: error, while: "writing volume \(name)")
        }
        return true
      }
    }
  }
}
