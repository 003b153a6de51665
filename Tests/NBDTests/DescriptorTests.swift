import BlockLayers
import Glibc
import Logging
import NBD
import Testing

/// A system that has no descriptors to give.
@Suite(.serialized, .timeLimit(.minutes(1))) struct DescriptorTests {
  @Test func `a server that has no descriptor left does not begin, and stops at once`() throws {
    let server = withoutDescriptors {
      NBDServer(listener: -1, exports: TestExports([:]), logger: Logger(label: "nbd-test"))
    }
    #expect(!server.start())
    server.stop()
  }

  @Test func `flushes are answered when a connection has no descriptor left for them`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))])
    let client = try WireClient(server)
    try client.go("a")
    let answers = withoutDescriptors {
      (0..<10 as Range<UInt64>).map { cookie in
        client.request(3, cookie: cookie)
        return client.simpleReply().map { $0 == (0, cookie) } ?? false
      }
    }
    #expect(answers == [Bool](repeating: true, count: 10))
  }

  /// Runs `body` while this process gets no new descriptors. Not in one of its own: children that other tests leave hide its end
  /// from the test runner.
  private func withoutDescriptors<T>(_ body: () -> T) -> T {
    let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    getrlimit(kind, &limit)
    let usual = limit.rlim_cur
    // The first three are in use. With none at all not even a poll would be possible.
    limit.rlim_cur = 3
    setrlimit(kind, &limit)
    defer {
      limit.rlim_cur = usual
      setrlimit(kind, &limit)
    }
    return body()
  }
}
