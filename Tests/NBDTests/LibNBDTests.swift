import BlockLayers
import Glibc
import NBD
import Testing

/// What libnbd makes of the server, called from Python: haggling, every command, the number of each error.
@Suite(
  .enabled(
    if: (try? run("/usr/bin/python3", "-c", "import nbd").status) == 0,
    "libnbd for Python is not installed: apt-get install python3-libnbd"))
struct LibNBDTests {
  /// Runs Python with `h` not yet connected, and `uri`.
  func python(_ uri: String, _ script: String) throws -> Output {
    let beginning = """
      import nbd, errno
      h = nbd.NBD()
      uri = '\(uri)'
      def number(body):
          try:
              body()
          except nbd.Error as error:
              return errno.errorcode[error.errnum]
          return None
      def same(one, other):
          assert one == other, f'{one!r} is not {other!r}'

      """
    return try run("/usr/bin/python3", "-c", beginning + script)
  }

  @Test func `every command does what libnbd asks for`() throws {
    let device = MemoryDevice(size: 8 << 20)
    let server = try TestServer(["a": NBDExport(device: device)])
    let result = try python(
      server.uri("a"),
      """
      h.connect_uri(uri)
      assert h.get_structured_replies_negotiated()
      h.pwrite(b'x' * 70000, 4096)
      h.pwrite(b'y' * 4096, 1 << 20, nbd.CMD_FLAG_FUA)
      same(h.pread(70000, 4096), bytearray(b'x' * 70000))
      pieces = []
      whole = h.pread_structured(65536, 4096, lambda *piece: pieces.append(piece[1]), nbd.CMD_FLAG_DF)
      same((whole, pieces), (bytearray(b'x' * 65536), [4096]))
      h.zero(4096, 4096)
      h.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
      same(h.pread(8192, 4096), bytearray(8192))
      h.trim(4096, 16384)
      h.cache(1 << 20, 0)
      h.flush()
      h.pwrite(b'z' * (3 << 20), 2 << 20)
      same(h.pread(3 << 20, 2 << 20), bytearray(b'z' * (3 << 20)))
      h.shutdown()
      """)
    #expect(result.status == 0, "\(result.text)")
    #expect(device.content[1 << 20] == UInt8(ascii: "y") && device.flushes > 0)
  }

  @Test func `large requests work without structured replies, too`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 40 << 20))])
    let result = try python(
      server.uri("a"),
      """
      h.set_request_structured_replies(False)
      h.connect_uri(uri)
      assert not h.get_structured_replies_negotiated()
      data = bytes(range(256)) * (32 << 12)
      h.pwrite(data, 1)
      same(h.pread(32 << 20, 1), bytearray(data))
      """)
    #expect(result.status == 0, "\(result.text)")
  }

  @Test func `errors have the numbers that the protocol gives them`() throws {
    let server = try TestServer([
      "a": NBDExport(device: MemoryDevice(size: 1 << 20)),
      "slow": NBDExport(device: FailingDevice(BlockError(.notSupported, "slow"))),
      "readonly": NBDExport(device: MemoryDevice(size: 1 << 20, isReadOnly: true)),
    ])
    let result = try python(
      server.uri(""),
      """
      def opened(name):
          h = nbd.NBD()
          h.set_strict_mode(0)
          h.connect_uri(uri.replace('nbd+unix:///', 'nbd+unix:///' + name))
          return h
      h = opened('a')
      end = 1 << 20
      same(number(lambda: h.pread(512, end)), 'EINVAL')
      same(number(lambda: h.pwrite(b'x' * 512, end)), 'ENOSPC')
      same(number(lambda: h.zero(512, end)), 'ENOSPC')
      same(number(lambda: h.trim(512, end)), 'EINVAL')
      same(number(lambda: h.cache(512, end)), 'EINVAL')
      same(number(lambda: h.pread(600 << 10, 0, nbd.CMD_FLAG_DF)), 'EOVERFLOW')
      h = opened('readonly')
      same(number(lambda: h.pwrite(b'x', 0)), 'EPERM')
      same(number(lambda: h.trim(512, 0)), 'EPERM')
      h = opened('slow')
      same(number(lambda: h.zero(512, 0, nbd.CMD_FLAG_FAST_ZERO)), errno.errorcode[errno.ENOTSUP])
      same(number(lambda: h.zero(512, 0)), 'EINVAL')
      """)
    #expect(result.status == 0, "\(result.text)")
  }

  @Test func `metadata contexts are listed, chosen and told of`() throws {
    let name = "qemu:dirty-bitmap:one"
    let server = try TestServer([
      "a": NBDExport(
        device: MemoryDevice(size: 1 << 20), contexts: [DirtyContext(name: name, dirty: 4096..<8192)])
    ])
    let result = try python(
      server.uri("a"),
      """
      def listed(*queries):
          names = []
          h.clear_meta_contexts()
          for query in queries:
              h.add_meta_context(query)
          h.opt_list_meta_context(lambda name: names.append(name))
          return names
      h.set_opt_mode(True)
      h.connect_uri(uri)
      h.set_export_name('a')
      same(listed(), ['base:allocation', '\(name)'])
      same(listed('qemu:'), ['\(name)'])
      same(listed('qemu:dirty-bitmap:'), ['\(name)'])
      same(listed('base:'), ['base:allocation'])
      same(listed('x-none:'), [])
      h.clear_meta_contexts()
      h.add_meta_context('base:allocation')
      h.add_meta_context('\(name)')
      h.add_meta_context('x-none:nothing')
      h.opt_go()
      assert h.can_meta_context('\(name)') and not h.can_meta_context('x-none:nothing')
      def status(offset, flags = 0):
          told = {}
          def extent(context, at, entries, error):
              same((at, error.value), (offset, 0))
              told[context] = entries
          h.block_status(8192 if offset else 1 << 20, offset, extent, flags)
          return told
      same(status(0), {'base:allocation': [1 << 20, 0], '\(name)': [4096, 0, 4096, 1, (1 << 20) - 8192, 0]})
      same(status(4096), {'base:allocation': [8192, 0], '\(name)': [4096, 1, 4096, 0]})
      same(status(4096, nbd.CMD_FLAG_REQ_ONE), {'base:allocation': [8192, 0], '\(name)': [4096, 1]})
      """)
    #expect(result.status == 0, "\(result.text)")
  }
}
