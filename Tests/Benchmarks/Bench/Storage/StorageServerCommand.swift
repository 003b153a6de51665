import ArgumentParser
import BlockLayers
import Glibc
import Logging
import NBD
import Primitives
import RPCSocket
import VHD

/// The product's server and layers without the service around them: chains of any depth, and what is counted under valgrind.
struct StorageServerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "storage-server", shouldDisplay: false)

  @Argument var socket: String
  /// Files of the layers, the base first.
  @Argument var layers: [String]

  func run() throws {
    guard let top = try StorageChain.open(layers) else { throw BenchError("No layer.") }
    guard let listener = UnixSocket.listen(socket) else {
      throw BenchError("\(socket): \(String(cString: strerror(errno)))")
    }
    let server = NBDServer(
      listener: listener, exports: Provider(device: top), logger: Logger(label: "ftvs-bench"))
    guard server.start() else { throw BenchError("No thread for the server.") }
    print("ready")
    fflush(nil)
    while true { pause() }
  }

  private struct Provider: NBDExportProvider {
    let device: VHDLayer

    func open(name: String, peerUserID: UInt32) throws(NBDRefusal) -> NBDExport { NBDExport(device: device) }
    func list(peerUserID: UInt32) -> [NBDExportEntry] { [NBDExportEntry(name: "")] }
  }
}
