import BlockLayers
import FuzzSupport
import Glibc
import Logging
import NBD

/// Clients that say anything to the NBD server: an input is all that one of them sends.
@main enum NBDServerFuzzer: Fuzzer {
  private static let device = CheckingDevice(MemoryDevice(size: 64 << 10))
  private static let server: NBDServer = {
    var limits = NBDLimits()
    (limits.flushThreads, limits.stopSeconds, limits.negotiationSeconds) = (2, 0, 5)
    var logger = Logger(label: "fuzz")
    logger.logLevel = .critical
    return NBDServer(listener: -1, exports: Exports(device: device), limits: limits, logger: logger)
  }()

  static func seeds() -> [[UInt8]] {
    let greeting = big(UInt32(3))
    let go = option(7, text("a") + big(UInt16(0)))
    let contexts = option(10, text("a") + big(UInt32(2)) + text("base:allocation") + text("qemu:dirty-bitmap:b"))
    let requests = [
      request(0, 0, 512), request(1, 512, 512) + [UInt8](repeating: 9, count: 512), request(3, 0, 0),
      request(4, 0, 4096),
      request(5, 0, 4096), request(6, 4096, 4096), request(7, 0, 65536), request(2, 0, 0),
    ]
    let all = Array(requests.joined())
    return [
      greeting + go + all,
      greeting + option(8) + contexts + go + all,
      greeting + option(3) + option(6, text("a") + big(UInt16(2)) + big(UInt16(1)) + big(UInt16(3))) + option(2),
      greeting + option(9, text("a") + big(UInt32(1)) + text("qemu:")) + option(5) + option(1, Array("a".utf8)) + all,
      big(UInt32(0)) + option(1, Array("a".utf8)) + all,
    ]
  }

  private static func text(_ text: String) -> [UInt8] { big(UInt32(text.utf8.count)) + Array(text.utf8) }

  private static func option(_ number: UInt32, _ data: [UInt8] = []) -> [UInt8] {
    Array("IHAVEOPT".utf8) + big(number) + big(UInt32(data.count)) + data
  }

  private static func request(_ type: UInt16, _ offset: UInt64, _ count: UInt32) -> [UInt8] {
    big(UInt32(0x2560_9513)) + big(UInt16(0)) + big(type) + big(offset) + big(offset) + big(count)
  }

  static func test(_ input: [UInt8]) {
    var ends: [Int32] = [-1, -1]
    require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0, "a pair of sockets")
    defer { close(ends[0]) }
    server.serve(ends[1])
    // More than the sockets hold is left away: nobody reads yet.
    send(ends[0], input, min(input.count, 64 << 10), Int32(MSG_NOSIGNAL))
    shutdown(ends[0], Int32(SHUT_WR))
    withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { buffer in
      while recv(ends[0], buffer.baseAddress, buffer.count, 0) > 0 {}
    }
    require(device.breaches == 0, "no request breaks the rules of a device")
  }
}

private struct Exports: NBDExportProvider {
  let device: any BlockDevice

  func open(name: String, peerUserID: UInt32) throws(NBDRefusal) -> NBDExport {
    switch name {
    case "a": return NBDExport(device: device, contexts: [Dirty()])
    case "b": return NBDExport(device: device, isReadOnly: true)
    case "secret": throw .notAllowed("not yours")
    default: throw .unknown
    }
  }

  func list(peerUserID: UInt32) -> [NBDExportEntry] { [NBDExportEntry(name: "a"), NBDExportEntry(name: "b")] }
}

private struct Dirty: NBDMetadataContext {
  let name = "qemu:dirty-bitmap:b"

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    [NBDContextExtent(count: 512, flags: 1), NBDContextExtent(count: 512, flags: 0)]
  }
}
