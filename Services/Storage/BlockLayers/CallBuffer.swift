/// Bytes that a call on a leg uses even after it was given up, when its caller's own are long used for something else.
///
/// Unchecked: written before the call begins, or by the call, and read after it has ended or was given up, when nobody
/// reads what it wrote.
final class CallBuffer: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(count: Int) { bytes = .allocate(byteCount: count, alignment: 4096) }

  /// A copy of what is to be written.
  convenience init(_ content: UnsafeRawBufferPointer) {
    self.init(count: content.count)
    bytes.copyMemory(from: content)
  }

  deinit { bytes.deallocate() }

  var content: UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes) }
}
