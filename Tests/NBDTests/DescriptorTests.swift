import BlockLayers
import Glibc
import Logging
import NBD
import Testing

/// A system that has no descriptors to give. In a process of its own, which all others would share it with.
@Suite struct DescriptorTests {
  @Test func `a server that has no descriptor left does not begin, and stops at once`() async {
    await #expect(processExitsWith: .success) {
      alarm(20)
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = 0
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let server = NBDServer(listener: -1, exports: TestExports([:]), logger: Logger(label: "nbd-test"))
      #expect(!server.start())
      server.stop()
    }
  }

  @Test func `flushes are answered when a connection has no descriptor left for them`() async {
    await #expect(processExitsWith: .success) {
      alarm(20)
      let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 4096))])
      let client = try WireClient(server)
      try client.go("a")
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      limit.rlim_cur = 0
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      for cookie in 0..<10 as Range<UInt64> {
        client.request(3, cookie: cookie)
        #expect(try #require(client.simpleReply()) == (0, cookie))
      }
    }
  }
}
