import Glibc
import Primitives
import RPC
import RPCSocket
import Testing

@Suite struct ClientTests {
  @Test func `many calls at once each get their own answer`() async throws {
    try await withService { service in
      let client = try await service.client()
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<500 {
          group.addTask { try await client.call(Echo.self, .init(text: "\(number)")).text == "\(number)" }
        }
        for try await isRight in group { #expect(isRight) }
      }
    }
  }

  @Test func `a socket that does not exist says what to do`() async throws {
    let error = await #expect(throws: RPCError.self) { try await RPCClient.connect(path: "/tmp/ftvs-no-such.sock") }
    #expect(error?.matches(CommonFailure.unreachable) == true)
    #expect(error?.message.contains("ftctl lab up") == true)
  }

  @Test func `a socket nobody listens on says what to do`() async throws {
    let path = "/tmp/ftvs-test-\(getpid())-dead.sock"
    close(try TestService.listen(path))
    defer { unlink(path) }
    let error = await #expect(throws: RPCError.self) { try await RPCClient.connect(path: path) }
    #expect(error?.matches(CommonFailure.unreachable) == true)
    #expect(error?.data["errno"] == .integer(Int64(ECONNREFUSED)))
  }

  @Test func `a path that is too long is refused`() async throws {
    let path = "/tmp/" + String(repeating: "x", count: 200)
    let error = await #expect(throws: RPCError.self) { try await RPCClient.connect(path: path) }
    #expect(error?.message.contains("107 bytes") == true)
  }

  @Test func `a full backlog is waited for`() async throws {
    let path = "/tmp/ftvs-test-\(getpid())-full.sock"
    let listener = try TestService.listen(path, backlog: 0)
    defer { close(listener); unlink(path) }
    let first = try await RPCClient.connect(path: path)
    async let second = RPCClient.connect(path: path)
    let early = await #expect(throws: RPCError.self) {
      try await RPCClient.connect(path: path, timeout: .milliseconds(30))
    }
    #expect(early?.matches(CommonFailure.timedOut) == true)
    let accepted = accept(listener, nil, nil)
    _ = try await second
    close(accepted)
    first.close()
  }

  @Test func `a call that is not answered in time fails, and later ones work`() async throws {
    try await withService { service in
      let client = try await service.client()
      let error = await #expect(throws: RPCError.self) {
        try await client.call(Wait.self, Nothing(), timeout: .milliseconds(20))
      }
      #expect(error?.matches(CommonFailure.timedOut) == true)
      #expect(try await client.call(Echo.self, .init(text: "a")).text == "a")
    }
  }

  @Test func `a shorter time-out counts although a longer one was set before`() async throws {
    try await withService { service in
      let client = try await service.client()
      async let long = client.call(Wait.self, Nothing(), timeout: .seconds(60))
      #expect(await eventually { await service.gate.entered == 1 })
      await #expect(throws: RPCError.self) { try await client.call(Wait.self, Nothing(), timeout: .milliseconds(20)) }
      await service.gate.open()
      _ = try await long
    }
  }

  @Test func `a cancelled call ends at once`() async throws {
    try await withService { service in
      let client = try await service.client()
      let call = Task { try await client.call(Wait.self) }
      #expect(await eventually { await service.gate.entered == 1 })
      call.cancel()
      let error = await #expect(throws: RPCError.self) { try await call.value }
      #expect(error?.matches(CommonFailure.cancelled) == true)
    }
  }

  @Test func `calls that wait fail when the connection ends`() async throws {
    try await withService { service in
      let client = try await service.client()
      let call = Task { try await client.call(Wait.self) }
      #expect(await eventually { await service.gate.entered == 1 })
      await service.stop()
      let error = await #expect(throws: RPCError.self) { try await call.value }
      #expect(error?.matches(CommonFailure.connectionLost) == true)
      #expect(!client.isOpen)
    }
  }

  @Test func `a subscription's events come in order and then it ends`() async throws {
    try await withService { service in
      let client = try await service.client()
      var numbers: [Int] = []
      for try await event in try await client.subscribe(Count.self, .init(to: 100)) { numbers.append(event.number) }
      #expect(numbers == Array(1...100))
    }
  }

  @Test func `a subscriber that stops iterating ends the subscription on the server`() async throws {
    try await withService { service in
      let client = try await service.client()
      do {
        let events = try await client.subscribe(Count.self, .init(to: -1))
        service.streams.send(.init(number: 1))
        for try await _ in events { break }
      }
      #expect(await eventually { service.streams.ended.load(ordering: .sequentiallyConsistent) == 1 })
      #expect(client.isOpen)
    }
  }

  @Test func `a subscription ends on the server when its client leaves`() async throws {
    try await withService { service in
      let client = try await service.client()
      let events = try await client.subscribe(Count.self, .init(to: -1))
      client.close()
      #expect(await eventually { service.streams.ended.load(ordering: .sequentiallyConsistent) == 1 })
      await #expect(throws: RPCError.self) { for try await _ in events {} }
    }
  }

  @Test func `a subscriber that does not read is cut with a reason`() async throws {
    var limits = RPCLimits()
    limits.eventQueueBytes = 100_000
    limits.eventTimeout = .milliseconds(50)
    try await withService(limits) { service in
      let socket = try RawSocket(service.path)
      socket.write(
        frame: #"{"jsonrpc":"2.0","id":1,"method":"test.count","params":{"to":1000,"sizeBytes":10000}}"#)
      #expect(await eventually { service.streams.ended.load(ordering: .sequentiallyConsistent) == 1 })
      var last: JSONValue?
      while let text = await socket.read() {
        last = try JSON.parse(text)
        if last?["params"]?["end"] != nil { break }
      }
      #expect(last?["params"]?["end"]?["data"]?["kind"] == "limitExceeded")
      // The connection itself goes on.
      socket.write(frame: #"{"jsonrpc":"2.0","id":2,"method":"test.echo","params":{"text":"a"}}"#)
      #expect(await socket.read()?.contains(#""id":2,"result""#) == true)
    }
  }

  @Test func `a subscriber that reads is not cut, however much comes at once`() async throws {
    var limits = RPCLimits()
    limits.eventQueueBytes = 10_000
    try await withService(limits) { service in
      var limits = RPCLimits()
      limits.waitingEvents = 100_000
      let client = try await service.client(limits)
      var count = 0
      for try await _ in try await client.subscribe(Count.self, .init(to: 20_000, sizeBytes: 100)) { count += 1 }
      #expect(count == 20_000)
    }
  }

  @Test func `a program that does not take its events is told so after those it has`() async throws {
    try await withService { service in
      var limits = RPCLimits()
      limits.waitingEvents = 10
      let client = try await service.client(limits)
      let events = try await client.subscribe(Count.self, .init(to: 1_000))
      // Those that came before this answer are dropped already.
      #expect(await eventually { service.streams.ended.load(ordering: .sequentiallyConsistent) == 1 })
      _ = try await client.call(Echo.self, .init(text: "a"))
      var numbers: [Int] = []
      let error = await #expect(throws: RPCError.self) {
        for try await event in events { numbers.append(event.number) }
      }
      #expect(error?.matches(CommonFailure.limitExceeded) == true)
      #expect(numbers == Array(1...10))
    }
  }

  @Test func `more subscriptions than allowed are refused`() async throws {
    var limits = RPCLimits()
    limits.subscriptionsPerConnection = 2
    try await withService(limits) { service in
      let client = try await service.client()
      let first = try await client.subscribe(Count.self, .init(to: -1))
      let second = try await client.subscribe(Count.self, .init(to: -1))
      let error = await #expect(throws: RPCError.self) { try await client.subscribe(Count.self, .init(to: -1)) }
      #expect(error?.matches(CommonFailure.limitExceeded) == true)
      withExtendedLifetime((first, second)) {}
    }
  }

  @Test func `a peer that does not speak the protocol fails the call`() async throws {
    var pair: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    defer { close(pair[1]) }
    let client = RPCClient(connected: pair[0], name: "a stranger")
    let answer = Task { try await client.call(Echo.self, .init(text: "a")) }
    let garbage: [UInt8] = [0, 0, 0, 3, 0x61, 0x62, 0x63]
    _ = garbage.withUnsafeBytes { write(pair[1], $0.baseAddress, $0.count) }
    let error = await #expect(throws: RPCError.self) { try await answer.value }
    #expect(error?.matches(CommonFailure.answerNotUnderstood) == true)
  }
}
