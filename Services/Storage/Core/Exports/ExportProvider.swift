import NBD
import Primitives
import RPC
import StorageAPI

/// What the NBD server serves: the exported volumes, each to the user it was exported to.
public struct ExportProvider: NBDExportProvider {
  private let service: StorageService

  public init(_ service: StorageService) { self.service = service }

  public func open(name: String, peerUserID: UInt32) throws(NBDRefusal) -> NBDExport {
    do throws(RPCError) {
      if let reading = ReadExportName(name) {
        let device = try service.openReading(reading, userID: peerUserID)
        return NBDExport(device: device, description: device.subject, isReadOnly: true, contexts: device.dirtyBitmaps)
      }
      let device = try service.openSession(name, userID: peerUserID)
      return NBDExport(device: device, description: "volume \(device.session.volume)", isReadOnly: false)
    } catch {
      service.environment.logger.warning(
        "an NBD client was refused", metadata: ["export": "\(name)", "uid": "\(peerUserID)", "error": "\(error)"])
      if error.matches(CommonFailure.stopping) { throw .stopping }
      if error.matches(StorageFailure.noSuchVolume) { throw .unknown }
      throw .notAllowed(error.message)
    }
  }

  public func list(peerUserID: UInt32) -> [NBDExportEntry] {
    let names =
      ((try? service.exportNames(for: peerUserID)) ?? []) + ((try? service.readExportNames(for: peerUserID)) ?? [])
    return names.map { NBDExportEntry(name: $0) }
  }
}

extension StorageService {
  /// Has fences and the end of this instance close the connections of this server.
  public func attach(_ server: NBDServer) { self.server.withLock { $0 = server } }
}
