import BlockLayers
import Glibc
import NBD
import Testing

/// Clients that others wrote, against this server.
@Suite(.serialized) struct PeerTests {
  @Test func `nbdinfo lists exports with their sizes and flags`() throws {
    let server = try TestServer([
      "a": NBDExport(device: MemoryDevice(size: 1 << 20), description: "first"),
      "b": NBDExport(device: MemoryDevice(size: 2 << 20, isReadOnly: true)),
    ])
    let list = try run("nbdinfo", "--list", "--json", server.uri(""))
    #expect(list.status == 0, "\(list.text)")
    #expect(list.text.contains("\"export-name\": \"a\"") && list.text.contains("\"export-name\": \"b\""))
    let info = try run("nbdinfo", "--json", server.uri("a"))
    #expect(info.status == 0, "\(info.text)")
    for fact in [
      "\"export-size\": 1048576", "\"is_read_only\": false", "\"can_multi_conn\": true", "\"can_fua\": true",
      "\"can_fast_zero\": true", "\"can_trim\": true", "\"can_zero\": true", "\"can_cache\": true", "\"can_df\": true",
      "\"description\": \"first\"", "base:allocation", "newstyle-fixed", "\"structured\": true",
      "\"block_size_maximum\": 33554432",
    ] {
      #expect(info.text.contains(fact), "\(fact) is missing in \(info.text)")
    }
    #expect(try run("nbdinfo", "--is", "readonly", server.uri("b")).status == 0)
    #expect(try run("nbdinfo", "--size", server.uri("nothing")).status != 0)
    #expect(server.exports.openedBy.withLock { $0.allSatisfy { $0 == getuid() } })
  }

  @Test func `nbdinfo lists and maps metadata contexts`() throws {
    let name = "qemu:dirty-bitmap:one"
    let server = try TestServer([
      "a": NBDExport(device: MemoryDevice(size: 1 << 20), contexts: [DirtyContext(name: name, dirty: 0..<512)])
    ])
    let info = try run("nbdinfo", "--json", server.uri("a"))
    #expect(info.text.contains("\"base:allocation\"") && info.text.contains("\"\(name)\""), "\(info.text)")
    let map = try run("nbdinfo", "--map=\(name)", "--json", server.uri("a"))
    #expect(map.status == 0, "\(map.text)")
    #expect(map.text.contains(#""offset": 0, "length": 512, "type": 1"#), "\(map.text)")
    let allocation = try run("nbdinfo", "--map", "--json", server.uri("a"))
    #expect(allocation.text.contains(#""offset": 0, "length": 1048576, "type": 0"#), "\(allocation.text)")
  }

  @Test func `qemu-img reads a dirty bitmap`() throws {
    let server = try TestServer([
      "a": NBDExport(
        device: MemoryDevice(size: 1 << 20),
        contexts: [DirtyContext(name: "qemu:dirty-bitmap:one", dirty: 65536..<131072)])
    ])
    let map = try run(
      "qemu-img", "map", "--output=json", "--image-opts",
      "driver=nbd,server.type=unix,server.path=\(server.socketPath),export=a,x-dirty-bitmap=qemu:dirty-bitmap:one")
    // Dirty is told as if it were a hole.
    #expect(map.status == 0 && map.text.contains(#""start": 65536, "length": 65536"#), "\(map.text)")
    #expect(map.text.contains(#""data": false"#), "\(map.text)")
  }

  @Test func `nbdcopy copies in and out over several connections`() throws {
    let content = randomBytes(8 << 20, seed: 1)
    let source = MemoryDevice(content)
    let target = MemoryDevice(size: content.count)
    let server = try TestServer(["in": NBDExport(device: source), "out": NBDExport(device: target)])
    let copy = try run("nbdcopy", "--connections=4", "--flush", server.uri("in"), server.uri("out"))
    #expect(copy.status == 0, "\(copy.text)")
    #expect(target.content == content)
    #expect(target.flushes > 0)
  }

  @Test func `qemu-io reads what it wrote with every kind of request`() throws {
    let device = MemoryDevice(size: 64 << 20)
    let server = try TestServer(["a": NBDExport(device: device)])
    let result = try run(
      "qemu-io", "-f", "raw", server.uri("a"),
      "-c", "write -P 1 0 4k", "-c", "write -f -P 2 4k 4k", "-c", "write -P 3 1M 40M", "-c", "read -P 3 1M 40M",
      "-c", "write -z 2M 64k", "-c", "write -z -u 3M 64k", "-c", "discard 4M 1M", "-c", "flush",
      "-c", "read -P 1 0 4k", "-c", "read -P 2 4k 4k", "-c", "read -P 0 2M 64k", "-c", "read -P 0 3M 64k")
    #expect(result.status == 0 && !result.text.contains("failed") && !result.text.contains("error"), "\(result.text)")
    #expect(device.content[4096] == 2 && device.content[(1 << 20) + 5] == 3)
    let map = try run(
      "qemu-img", "map", "--output=json", "--image-opts",
      "driver=raw,file.driver=nbd,file.path=\(server.socketPath),file.export=a")
    #expect(map.status == 0, "\(map.text)")
  }

  @Test func `fio verifies what it wrote`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 16 << 20))])
    let result = try run(
      "fio", "--name=job", "--ioengine=nbd", "--uri=\(server.uri("a"))", "--rw=randrw", "--bs=4k", "--iodepth=16",
      "--size=16m", "--verify=crc32c", "--verify_state_save=0", "--fsync=32", "--number_ios=3000")
    #expect(result.status == 0, "\(result.text)")
  }

  @Test func `fio verifies what it wrote over several connections`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 16 << 20))])
    let result = try run(
      "fio", "--name=job", "--ioengine=nbd", "--uri=\(server.uri("a"))", "--rw=randrw", "--bsrange=512-600k",
      "--iodepth=8", "--numjobs=4", "--size=4m", "--offset_increment=4m", "--verify=crc32c", "--verify_state_save=0",
      "--fsync=16", "--number_ios=300")
    #expect(result.status == 0, "\(result.text)")
  }

  @Test func `qemu-img compares and maps what two exports hold`() throws {
    let content = [UInt8](repeating: 5, count: 4 << 20)
    var other = content
    other[3_000_000] = 6
    let server = try TestServer([
      "a": NBDExport(device: MemoryDevice(content)), "b": NBDExport(device: MemoryDevice(content)),
      "c": NBDExport(device: MemoryDevice(other)), "sparse": NBDExport(device: SparseDevice()),
    ])
    let same = try run("qemu-img", "compare", "-f", "raw", "-F", "raw", server.uri("a"), server.uri("b"))
    #expect(same.status == 0 && same.text.contains("identical"), "\(same.text)")
    let different = try run("qemu-img", "compare", "-f", "raw", "-F", "raw", server.uri("a"), server.uri("c"))
    #expect(different.status == 1 && different.text.contains("mismatch"), "\(different.text)")
    let map = try run("qemu-img", "map", "-f", "raw", "--output=json", server.uri("sparse"))
    for part in [#""start": 0, "length": 65536"#, #""start": 65536, "length": 983040"#] {
      #expect(map.status == 0 && map.text.contains(part), "\(map.text)")
    }
    #expect(map.text.contains(#""zero": true, "data": false"#), "\(map.text)")
    let info = try run("nbdinfo", "--map", "--json", server.uri("sparse"))
    #expect(info.text.contains(#""offset": 65536, "length": 983040, "type": 3"#), "\(info.text)")
  }

  @Test func `nbdcopy copies a file in and out over several connections`() throws {
    let device = MemoryDevice(size: 8 << 20)
    let server = try TestServer(["a": NBDExport(device: device)])
    let (source, target) = ("\(server.directory)/source", "\(server.directory)/target")
    defer { for file in [source, target] { unlink(file) } }
    #expect(try run("dd", "if=/dev/urandom", "of=\(source)", "bs=1M", "count=8").status == 0)
    let into = try run("nbdcopy", "--connections=4", "--threads=4", "--flush", source, server.uri("a"))
    #expect(into.status == 0, "\(into.text)")
    let out = try run("nbdcopy", "--connections=4", "--threads=4", server.uri("a"), target)
    #expect(out.status == 0, "\(out.text)")
    #expect(try run("cmp", source, target).status == 0)
    #expect(device.content.contains { $0 != 0 })
  }

  @Test func `a read-only export refuses writes`() throws {
    let server = try TestServer(["a": NBDExport(device: MemoryDevice(size: 1 << 20), isReadOnly: true)])
    let result = try run("qemu-io", "-f", "raw", server.uri("a"), "-c", "write 0 4k")
    #expect(result.text.contains("read-only") || result.status != 0, "\(result.text)")
  }

  @Test func `errors of the device reach the client as numbers`() throws {
    let plan = FaultPlan()
    plan.add(.init(.write, .error(ENOSPC)))
    plan.add(.init(.read, .error(EIO)))
    plan.add(.init(.flush, .error(EIO)))
    let server = try TestServer(["a": NBDExport(device: FaultDevice(MemoryDevice(size: 1 << 20), plan))])
    let result = try run("qemu-io", "-f", "raw", server.uri("a"), "-c", "write 0 4k", "-c", "read 0 4k", "-c", "flush")
    #expect(result.text.contains("No space left"), "\(result.text)")
    #expect(result.text.contains("Input/output error"), "\(result.text)")
  }
}
