import RPC
import ServiceAPI

/// A server and a client of it, as command lines.
struct RPCContender {
  let name: String
  /// Without the socket, which follows.
  let server: [String]
  let serverFiles: [String]
  /// Without the socket and the counts, which follow.
  let client: [String]
  let clientFiles: [String]

  func serverCommand(_ socket: String) -> [String] { server + [socket] + serverFiles }

  func clientCommand(_ socket: String, calls: Int, inFlight: Int) -> [String] {
    client + [socket, "\(calls)", "\(inFlight)"] + clientFiles
  }
}

/// Ours and the peers, compiled.
struct RPCContenders {
  let ours: RPCContender
  /// Our server with the bare client: what of ours is the server's.
  let ourServer: Result<RPCContender, BenchError>
  let bare: Result<RPCContender, BenchError>
  let bus: Result<RPCContender, BenchError>

  static let bareName = "bare"
  static let busName = "sd-bus, peer to peer"

  init(in directory: BenchDirectory) throws {
    let program = BenchProcess.ownPath
    let request = try directory.write(
      Self.frame(RPCMessage.request(10_000, ServicePing.name, .object(JSONObject()))), to: "request")
    let result = try WireCoder.encode(RPCServerCommand.answer)
    let answer = try directory.write(Self.frame(RPCMessage.result(.integer(10_000), result)), to: "answer")
    let bareProgram = Self.compile("bare", [], named: Self.bareName, into: directory)
    let busProgram = Self.compile("sdbus", ["-lsystemd"], named: Self.busName, into: directory)
    ours = RPCContender(
      name: "ours", server: [program, "rpc-server"], serverFiles: [], client: [program, "rpc-client"], clientFiles: [])
    ourServer = bareProgram.map {
      RPCContender(
        name: "our server, bare client", server: [program, "rpc-server"], serverFiles: [], client: [$0, "client"],
        clientFiles: [request])
    }
    bare = bareProgram.map {
      RPCContender(
        name: Self.bareName, server: [$0, "server"], serverFiles: [answer], client: [$0, "client"],
        clientFiles: [request])
    }
    bus = busProgram.map {
      RPCContender(
        name: Self.busName, server: [$0, "server"], serverFiles: [], client: [$0, "client"], clientFiles: [])
    }
  }

  /// Those that there are.
  var all: [RPCContender] {
    [ours] + [ourServer, bare, bus].compactMap { try? $0.get() }
  }

  private static func compile(
    _ source: String, _ libraries: [String], named name: String, into directory: BenchDirectory
  ) -> Result<String, BenchError> {
    let peers = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let program = "\(directory.path)/\(source)"
    let file = "/\(peers)/Peers/rpc/\(source).c"
    do {
      _ = try BenchProcess.output(of: ["cc", "-O2", "-o", program, file] + libraries)
      return .success(program)
    } catch {
      return .failure(BenchError("\(name): missing, for cc does not compile it: gcc, libsystemd-dev"))
    }
  }

  private static func frame(_ text: [UInt8]) -> [UInt8] {
    let length = UInt32(text.count)
    return ([24, 16, 8, 0] as [UInt32]).map { UInt8(truncatingIfNeeded: length >> $0) } + text
  }
}
