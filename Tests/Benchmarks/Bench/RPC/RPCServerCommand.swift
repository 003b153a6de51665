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
    guard let listener = UnixSocket.listen(socket) else {
      throw BenchError("\(socket): \(String(cString: strerror(errno)))")
    }
    var router = Router(title: "Benchmark", version: "1")
    router.serve(ServicePing.self) { _, _ throws(RPCError) in Self.answer }
    let server = RPCServer(
      listener: listener, router: router, policy: .sameUserIsEverything(), logger: Logger(label: "ftvs-bench"))
    print("ready")
    fflush(nil)
    try await server.run()
  }
}
