import FTVSClient
import Glibc
import Logging
import Synchronization
import Testing

/// A method of each effect, which notes the keys it is called with.
private enum CreateThing: RPCMethod {
  static let name = "test.create"
  static let summary = "Creates something."
  static let access = Access.viewer
  static let effect = Effect.keyed

  struct Params: KeyedParams, Equatable {
    var requestKey: RequestKey?
    enum CodingKeys: CodingKey, CaseIterable { case requestKey }
    static func field(_ key: CodingKeys) -> Field<Params> {
      switch key {
      case .requestKey: Field(\.requestKey, "Key that a repeat must carry.")
      }
    }
  }
  typealias Result = Nothing
}

private enum FollowNumbers: RPCSubscription {
  static let name = "test.follow"
  static let summary = "Sends the number after one, then waits."
  static let access = Access.viewer
  static let effect = Effect.read
  typealias Params = Subscribed
  typealias Event = Subscribed
}

/// Servers that come and go on one listener, as the instances of a service do.
private final class Instances: Sendable {
  /// What instances do with a call.
  enum Manner { case answer, vanish, stop }

  let path = "/tmp/ftvs-test-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
  private let listener: Int32
  private let servers = Mutex<[(RPCServer, Task<Void, any Error>)]>([])
  private let keptStreams = Mutex<[AsyncThrowingStream<Subscribed, any Error>.Continuation]>([])
  let keys = Mutex<[RequestKey?]>([])

  init() throws {
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(result == 0 && listen(listener, 128) == 0)
  }

  deinit {
    close(listener)
    unlink(path)
  }

  func start(_ manner: Manner = .answer) {
    var router = Router(title: "test", version: "1")
    router.serve(CreateThing.self) { [weak self] params, _ throws(RPCError) in
      self?.keys.withLock { $0.append(params.requestKey) }
      switch manner {
      case .answer: break
      case .vanish:
        self?.stop()
        // Cancelled with its connection: the answer goes nowhere.
        try? await Task.sleep(for: .seconds(60))
      case .stop: throw RPCError(CommonFailure.stopping, "The service is handing over.")
      }
      return Nothing()
    }
    router.serve(FollowNumbers.self) { [weak self] params, _ throws(RPCError) in
      let (stream, continuation) = AsyncThrowingStream<Subscribed, any Error>.makeStream()
      continuation.yield(Subscribed(subscription: params.subscription + 1))
      self?.keptStreams.withLock { $0.append(continuation) }
      return stream
    }
    let server = RPCServer(
      listener: listener, router: router, policy: .sameUserIsEverything(), logger: Logger(label: "test"))
    servers.withLock { $0.append((server, Task { try await server.run() })) }
  }

  /// Ends the first of the instances that run, connections and all.
  func stop() {
    let first = servers.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    first?.0.stop()
  }
}

@Suite struct ServiceClientTests {
  @Test func `a call after a failover goes to the other instance`() async throws {
    let instances = try Instances()
    instances.start()
    let client = ServiceClient(socketPath: instances.path)
    _ = try await client.call(CreateThing.self, .init())
    instances.stop()
    instances.start()
    _ = try await client.call(CreateThing.self, .init())
    instances.stop()
  }

  @Test func `a keyed call whose answer was lost is repeated with the same key`() async throws {
    let instances = try Instances()
    instances.start(.vanish)
    let client = ServiceClient(socketPath: instances.path)
    async let created = client.call(CreateThing.self, .init())
    while instances.keys.withLock({ $0.isEmpty }) { await Task.yield() }
    instances.start()
    _ = try await created
    let keys = instances.keys.withLock { $0 }
    #expect(keys.count == 2)
    #expect(keys[0] != nil && keys[0] == keys[1])
    instances.stop()
  }

  @Test func `a caller's own key is kept`() async throws {
    let instances = try Instances()
    instances.start()
    let key = RequestKey.random(millisecondsSinceEpoch: 17)
    _ = try await ServiceClient(socketPath: instances.path).call(CreateThing.self, .init(requestKey: key))
    #expect(instances.keys.withLock { $0 } == [key])
    instances.stop()
  }

  @Test func `a call that a stopping instance refused is made again`() async throws {
    let instances = try Instances()
    instances.start(.stop)
    let client = ServiceClient(socketPath: instances.path)
    async let created = client.call(CreateThing.self, .init())
    while instances.keys.withLock({ $0.isEmpty }) { await Task.yield() }
    instances.stop()
    instances.start()
    _ = try await created
    instances.stop()
  }

  @Test func `a method called by name is not repeated when nothing says that it may`() async throws {
    let instances = try Instances()
    instances.start(.vanish)
    let client = ServiceClient(socketPath: instances.path)
    let error = await #expect(throws: RPCError.self) { try await client.call(method: "test.create", params: [:]) }
    #expect(error?.matches(CommonFailure.connectionLost) == true)
    #expect(instances.keys.withLock { $0.count } == 1)
  }

  @Test func `a call ends at its deadline when nobody serves`() async throws {
    let instances = try Instances()
    let client = ServiceClient(socketPath: instances.path, deadline: .milliseconds(50))
    let error = await #expect(throws: RPCError.self) { try await client.call(CreateThing.self, .init()) }
    #expect(error?.matches(CommonFailure.timedOut) == true)
  }

  @Test func `a host that does not run is told at once`() async {
    let host = Host(runDirectory: "/tmp/ftvs-no-such-directory")
    let error = await #expect(throws: RPCError.self) { try await host.vm.call(ListVMs.self) }
    #expect(error?.matches(CommonFailure.unreachable) == true)
  }

  @Test func `a subscription ends at a failover, and following goes on from the last event`() async throws {
    let instances = try Instances()
    instances.start()
    let client = ServiceClient(socketPath: instances.path)
    let plain = try await client.subscribe(FollowNumbers.self, Subscribed(subscription: 0))
    var plainly = plain.makeAsyncIterator()
    #expect(try await plainly.next()?.subscription == 1)
    let following = client.follow(FollowNumbers.self) { Subscribed(subscription: $0?.subscription ?? 10) }
    var events = following.makeAsyncIterator()
    #expect(try await events.next()?.subscription == 11)
    instances.stop()
    await #expect(throws: RPCError.self) { try await plain.first(where: { _ in false }) }
    instances.start()
    #expect(try await events.next()?.subscription == 12)
    instances.stop()
  }
}
