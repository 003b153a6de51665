import RPC
import Synchronization

/// What a session sends, in order.
final class Recorder: RPCSessionOutput {
  private let messages = Mutex<[String]>([])
  private let waiting = Mutex<[CheckedContinuation<String, Never>]>([])

  func send(_ message: [UInt8]) {
    let text = String(decoding: message, as: UTF8.self)
    let next = waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    if let next { next.resume(returning: text) } else { messages.withLock { $0.append(text) } }
  }
  func sendEvent(_ message: [UInt8]) -> Bool {
    send(message)
    return true
  }
  func requestFinished() {}
  func waitForRoom() async -> Bool { true }

  /// Messages that nobody has taken.
  var queued: [String] { messages.withLock { $0 } }

  /// The next message.
  func next() async -> String {
    await withCheckedContinuation { continuation in
      let text = messages.withLock { messages -> String? in
        guard messages.isEmpty else { return messages.removeFirst() }
        waiting.withLock { $0.append(continuation) }
        return nil
      }
      if let text { continuation.resume(returning: text) }
    }
  }
}
