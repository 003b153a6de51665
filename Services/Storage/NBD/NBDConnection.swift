import Primitives
import BlockLayers
import Glibc
import Synchronization

/// The part of a connection that several threads use: sending whole answers, and ending it.
final class NBDConnection: @unchecked Sendable {
  // `isOpen` and the closing of the descriptor happen with `monitor` held, so that nobody shuts down a descriptor that
  // was given to somebody else; sending happens with `sending` held, before the descriptor is closed.

  let descriptor: Int32
  let peerUserID: UInt32
  private let monitor = Monitor()
  private var isOpen = true
  private let sending = Monitor()
  /// Its place in the order of arrival, and whether it was ended to make room; of the server's monitor.
  var number: UInt64 = 0
  var isEvicted = false
  /// Nothing that was received may be executed any more.
  let isFenced = Atomic<Bool>(false)

  /// The export's name, from before it is opened; empty until then. Written by the connection's thread, read by a fence.
  let exportName = Mutex<String>("")

  init(descriptor: Int32) {
    self.descriptor = descriptor
    // struct ucred: pid, uid, gid.
    var credentials: (Int32, UInt32, UInt32) = (0, .max, .max)
    var length = socklen_t(MemoryLayout.size(ofValue: credentials))
    let status = getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length)
    // Over other sockets than Unix ones nobody is known.
    peerUserID = status == 0 ? credentials.1 : .max
  }

  /// Sends all bytes, before or after those of other threads, never between.
  func send(_ bytes: UnsafeRawBufferPointer) throws(NBDEnd) {
    sending.lock()
    defer { sending.unlock() }
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let count = Glibc.send(descriptor, base + done, bytes.count - done, Int32(MSG_NOSIGNAL))
      if count < 0 {
        if errno == EINTR { continue }
        // A part of an answer may be out: nothing after it could be understood.
        shutDown(fencing: false)
        throw .closed
      }
      done += count
    }
  }

  /// Receives at least one byte.
  func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) throws(NBDEnd) -> Int {
    while true {
      let received = recv(descriptor, buffer, count, 0)
      if received > 0 { return received }
      if received < 0, errno == EINTR { continue }
      throw .closed
    }
  }

  /// Ends it now, in both directions.
  func shutDown(fencing: Bool) {
    if fencing { isFenced.store(true, ordering: .sequentiallyConsistent) }
    monitor.locked { if isOpen { _ = shutdown(descriptor, Int32(SHUT_RDWR)) } }
  }

  /// Takes no more requests than have arrived.
  func stopReceiving() {
    monitor.locked { if isOpen { _ = shutdown(descriptor, Int32(SHUT_RD)) } }
  }

  func close() {
    monitor.locked {
      guard isOpen else { return }
      isOpen = false
      Glibc.close(descriptor)
    }
  }

  /// How long `receive` waits for the first byte; 0 is for ever.
  func setReceiveTimeout(seconds: Int) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }
}

/// Received bytes of one connection, used by its thread alone.
struct NBDInput: ~Copyable {
  private let connection: NBDConnection
  private let buffer: UnsafeMutableRawPointer
  private let capacity: Int
  private var start = 0
  private var end = 0

  /// - Parameter capacity: the most that `need` can be asked for.
  init(_ connection: NBDConnection, capacity: Int) {
    self.connection = connection
    self.capacity = capacity
    buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
  }

  deinit { buffer.deallocate() }

  /// Bytes that have been received and not taken.
  var available: Int { end - start }

  /// Waits until `count` bytes are there, which stay until they are taken.
  @inline(__always)
  mutating func need(_ count: Int) throws(NBDEnd) -> UnsafeRawPointer {
    if end - start < count { try receive(count) }
    return UnsafeRawPointer(buffer + start)
  }

  /// Takes bytes that `need` returned.
  @inline(__always)
  mutating func take(_ count: Int) {
    start += count
    // From the beginning again, so that little traffic touches little memory.
    if start == end { (start, end) = (0, 0) }
  }

  private mutating func receive(_ count: Int) throws(NBDEnd) {
    guard count <= capacity else { throw .breach("\(count) bytes wanted at once") }
    if capacity - start < count {
      memmove(buffer, buffer + start, end - start)
      (start, end) = (0, end - start)
    }
    while end - start < count { end += try connection.receive(buffer + end, capacity - end) }
  }

  /// Takes bytes into a buffer of the caller's.
  mutating func take(into target: UnsafeMutableRawBufferPointer) throws(NBDEnd) {
    guard let base = target.baseAddress else { return }
    var done = min(available, target.count)
    memcpy(base, buffer + start, done)
    take(done)
    while done < target.count { done += try connection.receive(base + done, target.count - done) }
  }

  /// Takes bytes that nobody wants.
  mutating func skip(_ count: Int) throws(NBDEnd) {
    var rest = count
    while rest > 0 {
      if available == 0 { _ = try need(1) }
      let piece = min(available, rest)
      take(piece)
      rest -= piece
    }
  }
}

/// Answers of one thread that are sent together.
struct NBDOutput: ~Copyable {
  private let connection: NBDConnection
  let buffer: UnsafeMutableRawPointer
  let capacity: Int
  var count = 0

  init(_ connection: NBDConnection, capacity: Int) {
    self.connection = connection
    self.capacity = capacity
    buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096)
  }

  deinit { buffer.deallocate() }

  /// Sends what there is.
  @inline(__always)
  mutating func send() throws(NBDEnd) {
    guard count > 0 else { return }
    try connection.send(UnsafeRawBufferPointer(start: buffer, count: count))
    count = 0
  }

  /// Makes room; at most `capacity`.
  @inline(__always)
  mutating func reserve(_ bytes: Int) throws(NBDEnd) {
    if capacity - count < bytes { try send() }
  }

  /// Appends a number; room must have been reserved.
  @inline(__always)
  mutating func put<T: FixedWidthInteger>(_ value: T) {
    guard count + MemoryLayout<T>.size <= capacity else { return }
    buffer.storeBytes(of: value.bigEndian, toByteOffset: count, as: T.self)
    count += MemoryLayout<T>.size
  }

  /// Appends bytes; room must have been reserved.
  mutating func put(_ bytes: [UInt8]) {
    guard count + bytes.count <= capacity else { return }
    bytes.withUnsafeBytes { if let base = $0.baseAddress { memcpy(buffer + count, base, $0.count) } }
    count += bytes.count
  }
}

extension UnsafeRawPointer {
  @inline(__always)
  func big<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
    T(bigEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
  }
}
