import Glibc
import Logging
import Primitives
import RPC
import RPCSocket
import Testing

/// Runs a test against a server, which is stopped afterwards.
func withService(
  _ limits: RPCLimits = .init(), policy: RolePolicy = .sameUserIsEverything(),
  _ body: (TestService) async throws -> Void
) async throws {
  let service = try TestService(limits: limits, policy: policy)
  service.start()
  do {
    try await body(service)
  } catch {
    await service.gate.open()
    await service.stop()
    throw error
  }
  await service.gate.open()
  await service.stop()
}

private func request(_ id: Int, _ method: String, _ params: String = "{}") -> String {
  #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"#
}

@Suite struct ServerTests {
  @Test func `a call is answered`() async throws {
    try await withService { service in
      let client = try await service.client()
      let answer = try await client.call(Echo.self, .init(text: "hello"))
      #expect(answer.text == "hello")
    }
  }

  @Test func `a frame that comes byte by byte is answered`() async throws {
    try await withService { service in
      let socket = try RawSocket(service.path)
      for byte in RawSocket.frame(request(1, "test.echo", #"{"text":"a"}"#)) { socket.write([byte]) }
      #expect(await socket.read() == #"{"jsonrpc":"2.0","id":1,"result":{"text":"a"}}"#)
    }
  }

  @Test func `several frames in one write are all answered`() async throws {
    try await withService { service in
      let socket = try RawSocket(service.path)
      socket.write((1...10).flatMap { RawSocket.frame(request($0, "test.echo", #"{"text":"a"}"#)) })
      var identifiers: Set<Int64> = []
      for _ in 1...10 {
        let answer = try JSON.parse(try #require(await socket.read()))
        identifiers.insert(try #require(answer["id"]?.integer))
      }
      #expect(identifiers == Set(1...10))
    }
  }

  @Test func `answers come as they are ready, not in the order of the requests`() async throws {
    try await withService { service in
      let socket = try RawSocket(service.path)
      socket.write(frame: request(1, "test.wait"))
      socket.write(frame: request(2, "test.echo", #"{"text":"b"}"#))
      #expect(await socket.read()?.contains(#""id":2"#) == true)
      await service.gate.open()
      #expect(await socket.read()?.contains(#""id":1"#) == true)
    }
  }

  @Test func `a frame without text is answered as what is not JSON, and the connection goes on`() async throws {
    try await withService { service in
      let socket = try RawSocket(service.path)
      socket.write([0, 0, 0, 0])
      #expect(await socket.read()?.contains(#""id":null,"error":{"code":-32700"#) == true)
      socket.write(frame: request(1, "test.echo", #"{"text":"a"}"#))
      #expect(await socket.read()?.contains(#""id":1,"result""#) == true)
    }
  }

  @Test func `a frame that is too long is answered and closes that connection only`() async throws {
    try await withService { service in
      let other = try await service.client()
      _ = try await other.call(Echo.self, .init(text: "a"))
      let socket = try RawSocket(service.path)
      socket.write(Array("GET / HTTP/1.1\r\n\r\n".utf8))
      #expect(await socket.read()?.contains(#""id":null,"error":{"code":2,"#) == true)
      #expect(await socket.read() == nil)
      #expect(try await other.call(Echo.self, .init(text: "b")).text == "b")
    }
  }

  @Test func `bytes that are not UTF-8 are answered as what is not JSON`() async throws {
    try await withService { service in
      let socket = try RawSocket(service.path)
      socket.write([0, 0, 0, 4, 0x22, 0xFF, 0xFE, 0x22])
      #expect(await socket.read()?.contains("-32700") == true)
    }
  }

  @Test func `a connection that ends within a frame disturbs nobody`() async throws {
    try await withService { service in
      do {
        let socket = try RawSocket(service.path)
        socket.write([0, 0, 1, 0, 0x7B])
      }
      let client = try await service.client()
      #expect(try await client.call(Echo.self, .init(text: "a")).text == "a")
      #expect(await eventually { service.server.connectionCount == 1 })
    }
  }

  @Test func `a frame that is begun and not finished ends its connection in time`() async throws {
    var limits = RPCLimits()
    limits.frameTimeout = .milliseconds(50)
    try await withService(limits) { service in
      let socket = try RawSocket(service.path)
      socket.write([0, 0, 0, 9, 0x7B])
      #expect(await socket.read()?.contains(#""kind":"timedOut""#) == true)
      #expect(await socket.read() == nil)
    }
  }

  @Test func `a connection that says nothing stays open`() async throws {
    var limits = RPCLimits()
    limits.frameTimeout = .milliseconds(10)
    try await withService(limits) { service in
      let silent = try RawSocket(service.path)
      let busy = try await service.client()
      for _ in 0..<20 {
        _ = try await busy.call(Echo.self, .init(text: "a"))
        try await Task.sleep(for: .milliseconds(2))
      }
      silent.write(frame: request(1, "test.echo", #"{"text":"a"}"#))
      #expect(await silent.read()?.contains(#""id":1"#) == true)
    }
  }

  @Test func `a thousand silent connections leave the others served`() async throws {
    try await withService { service in
      var silent: [RawSocket] = []
      for _ in 0..<1_000 { silent.append(try RawSocket(service.path)) }
      let client = try await service.client()
      #expect(try await client.call(Echo.self, .init(text: "a")).text == "a")
      #expect(await eventually { service.server.connectionCount == 1_001 })
      silent = []
      #expect(await eventually { service.server.connectionCount == 1 })
    }
  }

  @Test func `more connections than allowed are told so`() async throws {
    var limits = RPCLimits()
    limits.connections = 1
    try await withService(limits) { service in
      let first = try await service.client()
      _ = try await first.call(Echo.self, .init(text: "a"))
      let second = try RawSocket(service.path)
      #expect(await second.read()?.contains(#""kind":"limitExceeded""#) == true)
      #expect(await second.read() == nil)
      #expect(try await first.call(Echo.self, .init(text: "b")).text == "b")
    }
  }

  @Test func `requests beyond the limit wait until others are answered`() async throws {
    var limits = RPCLimits()
    limits.requestsPerConnection = 4
    try await withService(limits) { service in
      let socket = try RawSocket(service.path)
      socket.write((1...20).flatMap { RawSocket.frame(request($0, "test.wait")) })
      #expect(await eventually { await service.gate.entered == 4 })
      // Another connection is served meanwhile, and the handlers stay four.
      let other = try await service.client()
      for _ in 0..<20 { _ = try await other.call(Echo.self, .init(text: "a")) }
      #expect(await service.gate.entered == 4)
      await service.gate.open()
      for _ in 1...20 { #expect(await socket.read() != nil) }
    }
  }

  @Test func `a handler is cancelled when its client leaves`() async throws {
    try await withService { service in
      do {
        let socket = try RawSocket(service.path)
        socket.write(frame: request(1, "test.wait"))
        #expect(await eventually { await service.gate.entered == 1 })
      }
      #expect(await eventually { await service.gate.cancelled == 1 })
    }
  }

  @Test func `a handler is cancelled when its client leaves while reading is paused`() async throws {
    var limits = RPCLimits()
    limits.requestsPerConnection = 1
    try await withService(limits) { service in
      do {
        let socket = try RawSocket(service.path)
        socket.write((1...5).flatMap { RawSocket.frame(request($0, "test.wait")) })
        #expect(await eventually { await service.gate.entered == 1 })
      }
      #expect(await eventually { await service.gate.cancelled >= 1 })
      #expect(await eventually { service.server.connectionCount == 0 })
    }
  }

  @Test func `a client that finished sending still gets its answers`() async throws {
    try await withService { service in
      let socket = try RawSocket(service.path)
      socket.write(frame: request(1, "test.wait"))
      socket.finishSending()
      #expect(await eventually { await service.gate.entered == 1 })
      await service.gate.open()
      #expect(await socket.read()?.contains(#""id":1,"result""#) == true)
      #expect(await socket.read() == nil)
    }
  }

  @Test func `an answer larger than a frame becomes an error`() async throws {
    var limits = RPCLimits()
    limits.frameBytes = 1_000
    try await withService(limits) { service in
      let socket = try RawSocket(service.path)
      // Each escape is two bytes in the answer, too; the envelope makes it longer than the request.
      let text = String(repeating: "a", count: 930)
      socket.write(frame: #"{"jsonrpc":"2.0","id":1,"method":"test.echo","params":{"text":"\#(text)"}}"#)
      let answer = try JSON.parse(try #require(await socket.read()))
      #expect(answer["result"] != nil || answer["error"]?["data"]?["kind"] == "limitExceeded")
    }
  }

  @Test func `a large message goes both ways`() async throws {
    try await withService { service in
      let client = try await service.client()
      let text = String(repeating: "0123456789", count: 1_000_000)
      let answer = try await client.call(Echo.self, .init(text: text))
      #expect(answer.text == text)
    }
  }

  @Test func `large messages beyond what the service can hold are refused, and small ones are not`() async throws {
    var limits = RPCLimits()
    limits.inboundBytes = 1_000_000
    try await withService(limits) { service in
      let small = try await service.client()
      let large = try await service.client()
      let error = await #expect(throws: RPCError.self) {
        try await large.call(Echo.self, .init(text: String(repeating: "x", count: 2_000_000)))
      }
      #expect(error?.matches(CommonFailure.limitExceeded) == true)
      #expect(try await small.call(Echo.self, .init(text: "a")).text == "a")
      // What was held is given back.
      let again = try await service.client()
      for _ in 0..<5 { _ = try await again.call(Echo.self, .init(text: String(repeating: "x", count: 300_000))) }
    }
  }

  @Test func `a peer without a role may only do what anyone may`() async throws {
    try await withService(policy: .groups()) { service in
      // Root is admin whatever the groups say, so this runs only where the tests are not root's.
      guard geteuid() != 0 else { return }
      let client = try await service.client()
      await #expect(throws: RPCError.self) { try await client.call(Echo.self, .init(text: "a")) }
      _ = try await client.call(Discover.self)
    }
  }

  @Test func `the peer's user, groups and process come from the kernel`() throws {
    var pair: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    defer { pair.forEach { close($0) } }
    let caller = try #require(RolePolicy.groups().caller(of: pair[0]))
    #expect(caller.userID == geteuid())
    #expect(caller.processID == getpid())
    #expect(caller.groupIDs.contains(getegid()))
    var groups = [gid_t](repeating: 0, count: 65_536)
    let count = getgroups(65_536, &groups)
    #expect(Set(groups.prefix(Int(max(0, count)))).isSubset(of: Set(caller.groupIDs)))
  }

  @Test func `in a lab its user may do everything and others nothing`() {
    let policy = RolePolicy.sameUserIsEverything()
    let own = policy.caller(userID: geteuid(), groupIDs: [], processID: 1)
    #expect(Access.allCases.allSatisfy { own.may($0) })
    let stranger = policy.caller(userID: geteuid() + 1, groupIDs: [], processID: 1)
    #expect(Access.allCases.filter { stranger.may($0) } == [.anyone])
  }

  @Test func `ping goes through a server that runs and fails on one that does not`() async throws {
    try await withService { service in
      #expect(await eventually { await service.server.ping() })
    }
    let idle = try TestService()
    #expect(await idle.server.ping(timeout: .milliseconds(20)) == false)
  }
}
