import Glibc

/// Servers that others wrote, on images that hold the same as ours.
///
/// A program that is missing is installed where that is possible, and named where it is not.
final class StoragePeers {
  static let bare = "bare"
  static let nbdkit = "nbdkit file"
  static let cow = "nbdkit cow"
  static let qemuRaw = "qemu-nbd raw"
  static let qemuVPC = "qemu-nbd vpc"

  private(set) var contenders: [StorageContender] = []
  /// By name: why it is not measured.
  private(set) var missing: [String: String] = [:]
  private var servers: [BenchProcess] = []
  private let directory: BenchDirectory

  /// - Parameters:
  ///   - bare: the trivial server's program.
  ///   - raw: an image that all who serve raw ones share: what they write is what it holds.
  init(in directory: BenchDirectory, bare: String, raw: String) throws {
    self.directory = directory
    try add(Self.bare) { [bare, $0, raw] }
    if let problem = Self.problem("nbdkit", package: "nbdkit") {
      for name in [Self.nbdkit, Self.cow] { missing[name] = problem }
    } else {
      let nbdkit = ["nbdkit", "-f", "-U"]
      try add(Self.nbdkit) { nbdkit + [$0, "file", raw] }
      // Two: what was written is read elsewhere.
      let reads = try start { nbdkit + [$0, "--filter=cow", "file", raw] }
      let writes = try start { nbdkit + [$0, "--filter=cow", "file", raw] }
      contenders.append(StorageContender(Self.cow, reads: reads, writes: writes))
    }
    if let problem = Self.problem("qemu-nbd", package: "qemu-utils") {
      for name in [Self.qemuRaw, Self.qemuVPC] { missing[name] = problem }
    } else {
      let vpc = "\(directory.path)/peer.vhd"
      _ = try BenchProcess.output(
        of: ["qemu-img", "convert", "-q", "-O", "vpc", "-o", "subformat=dynamic,force_size=on", raw, vpc])
      let qemu = ["qemu-nbd", "-t", "-e", "16"]
      try add(Self.qemuRaw) { qemu + ["-f", "raw", "-k", $0, raw] }
      try add(Self.qemuVPC) { qemu + ["-f", "vpc", "-k", $0, vpc] }
    }
  }

  func stop() {
    for server in servers { server.stop() }
  }

  private func add(_ name: String, _ command: (String) -> [String]) throws {
    contenders.append(StorageContender(name, reads: try start(command)))
  }

  private func start(_ command: (String) -> [String]) throws -> StorageEndpoint {
    let socket = "\(directory.path)/peer\(servers.count)"
    servers.append(try Self.start(command(socket), on: socket))
    return StorageEndpoint(socket: socket, export: "")
  }

  /// Starts a server and waits until its socket takes connections.
  static func start(_ command: [String], on socket: String) throws -> BenchProcess {
    unlink(socket)
    let server = try BenchProcess(command)
    for _ in 0..<4_000 {
      if access(socket, F_OK) == 0 { return server }
      usleep(5_000)
    }
    throw BenchError("\(command.joined(separator: " ")) did not start.")
  }

  /// Why a program cannot be used; nil where it can, after installing its package if need be.
  private static func problem(_ program: String, package: String) -> String? {
    func isThere() -> Bool { (try? BenchProcess.output(of: [program, "--version"], isSilent: true)) != nil }
    if isThere() { return nil }
    let install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    if geteuid() == 0 { _ = try? BenchProcess.output(of: install, isSilent: true) }
    return isThere() ? nil : "\(program): missing, install \(package)"
  }
}
