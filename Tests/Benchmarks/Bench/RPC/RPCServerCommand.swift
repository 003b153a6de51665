import ArgumentParser
import Glibc
import Logging
import RPC
import RPCSocket
import ServiceAPI

/// The server under measurement: what a daemon serves its socket with, and `service.ping`.
struct RPCServerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "rpc-server", shouldDisplay: false)
  /// What every ping is answered with, by the peers too.
  static let answer = ServicePing.Result(service: .hardware, module: .cpu0, epoch: 7)

  @Argument var socket: String

  func run() async throws {
    let listener = try Self.listen(socket)
    var router = Router(title: "Benchmark", version: "1")
    router.serve(ServicePing.self) { _, _ throws(RPCError) in Self.answer }
    let server = RPCServer(
      listener: listener, router: router, policy: .sameUserIsEverything(), logger: Logger(label: "ftvs-bench"))
    print("ready")
    fflush(nil)
    try await server.run()
  }

  private static func listen(_ path: String) throws -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw BenchError("\(path) is too long.") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0, Glibc.listen(descriptor, 64) == 0 else {
      throw BenchError("\(path): \(String(cString: strerror(errno)))")
    }
    return descriptor
  }
}
