import VHD

/// One layer, and a chain of differencing layers on it, each in a server of its own without the service around it.
///
/// Every layer above the base holds every so-manieth page of the image in turn, so that a read goes down through layers all of whose
/// blocks are there in part, and finds what it looks for in any of them.
final class StorageChains {
  static let single = "one layer"
  static let chain = "chain"

  /// The one layer's file, which the chain stands on, too: it is written full, so that a write changes no more than data, which the
  /// load makes the same wherever it writes.
  let base: String
  private(set) var contenders: [StorageContender] = []
  private var servers: [BenchProcess] = []

  init(in directory: BenchDirectory, depth: Int, size: Int64) throws {
    base = "\(directory.path)/layer0.vhd"
    var layers = [base]
    var top = try StorageChain.makeBase(base, size: size)
    for number in 1..<depth - 1 {
      layers.append("\(directory.path)/layer\(number).vhd")
      top = try StorageChain.makeChild(layers[number], on: top, first: number, stride: depth)
    }
    // Two tops: what was written is read elsewhere.
    let tops = ["read", "written"].map { "\(directory.path)/top-\($0).vhd" }
    for path in tops {
      _ = try StorageChain.makeChild(
        path, on: top, first: depth - 1, stride: depth, isFilledLater: path == tops[1])
    }
    let single = try start([base], directory)
    let read = try start(layers + [tops[0]], directory)
    let written = try start(layers + [tops[1]], directory)
    contenders = [
      StorageContender(Self.single, reads: single), StorageContender(Self.chain, reads: read, writes: written),
    ]
  }

  func stop() {
    for server in servers { server.stop() }
  }

  private func start(_ layers: [String], _ directory: BenchDirectory) throws -> StorageEndpoint {
    let socket = "\(directory.path)/chain\(servers.count)"
    servers.append(
      try StoragePeers.start([BenchProcess.ownPath, "storage-server", socket] + layers, on: socket))
    return StorageEndpoint(socket: socket, export: "")
  }
}
