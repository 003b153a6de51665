import Glibc
import Logging
import Primitives
import RPC
import RPCSocket
import Synchronization
import Testing

@Suite struct HandoverTests {
  @Test func `two servers share a listener and the second takes over what waits`() async throws {
    let first = try TestService()
    let shared = dup(first.listener)
    let second = try TestService(listener: shared, path: first.path)
    first.start()
    let before = try await first.client()
    #expect(try await before.call(Echo.self, .init(text: "a")).text == "a")
    first.server.stopAccepting()
    // In the backlog, where nobody takes it yet.
    let waiting = try await first.client()
    async let answer = waiting.call(Echo.self, .init(text: "b"))
    second.start()
    #expect(try await answer.text == "b")
    #expect(second.server.connectionCount == 1)
    // The connections of the first still work.
    #expect(try await before.call(Echo.self, .init(text: "c")).text == "c")
    await first.stop()
    await second.stop()
  }

  @Test func `draining answers what is in flight and refuses what comes later`() async throws {
    let service = try TestService()
    service.start()
    let client = try await service.client()
    async let inFlight = client.call(Wait.self)
    #expect(await eventually { await service.gate.entered == 1 })
    async let drained: Void = service.server.drain(timeout: .seconds(10))
    // The connection is open for as long as the first request is in flight.
    let refused = await #expect(throws: RPCError.self) {
      while true { _ = try await client.call(Echo.self, .init(text: "a")) }
    }
    #expect(refused?.matches(CommonFailure.stopping) == true)
    await service.gate.open()
    _ = try await inFlight
    await drained
    #expect(service.server.connectionCount == 0)
    await service.stop()
  }

  @Test func `draining ends subscriptions with a reason`() async throws {
    let service = try TestService()
    service.start()
    let client = try await service.client()
    let events = try await client.subscribe(Count.self, .init(to: -1))
    await service.server.drain(timeout: .seconds(10))
    let error = await #expect(throws: RPCError.self) { for try await _ in events {} }
    #expect(error?.matches(CommonFailure.stopping) == true)
    await service.stop()
  }

  @Test func `draining gives up after its time`() async throws {
    let service = try TestService()
    service.start()
    let client = try await service.client()
    let inFlight = Task { try await client.call(Wait.self) }
    #expect(await eventually { await service.gate.entered == 1 })
    await service.server.drain(timeout: .milliseconds(20))
    let error = await #expect(throws: RPCError.self) { try await inFlight.value }
    #expect(error?.matches(CommonFailure.connectionLost) == true)
    #expect(await eventually { await service.gate.cancelled == 1 })
    await service.stop()
  }

  @Test func `a server that is out of descriptors accepts when there are some again`() async throws {
    let path = "/tmp/ftvs-test-\(getpid())-exhausted.sock"
    let listener = try TestService.listen(path)
    defer {
      close(listener)
      unlink(path)
    }
    let failures = Atomic(0)
    var router = Router(title: "test", version: "1")
    router.serve(Echo.self) { params, _ throws(RPCError) in params }
    let server = RPCServer(
      listener: listener, router: router, policy: .sameUserIsEverything(), limits: .init(),
      logger: Logger(label: "test"),
      accept: { listener in
        if failures.add(1, ordering: .relaxed).newValue <= 2 { return .exhausted }
        let descriptor = Glibc.accept(listener, nil, nil)
        return descriptor < 0 ? .nothing : .connection(descriptor)
      })
    let running = Task { try await server.run() }
    let client = try await RPCClient.connect(path: path)
    #expect(try await client.call(Echo.self, .init(text: "a")).text == "a")
    #expect(failures.load(ordering: .relaxed) >= 3)
    server.stop()
    try await running.value
  }

  @Test func `stopping leaves the listener and its path alone`() async throws {
    let service = try TestService()
    service.start()
    _ = try await service.client().call(Echo.self, .init(text: "a"))
    await service.stop()
    #expect(access(service.path, F_OK) == 0)
    #expect(fcntl(service.listener, F_GETFD) >= 0)
    _ = try RawSocket(service.path)
  }
}
