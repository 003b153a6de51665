import ArgumentParser
import FTVSClient
import FoundationEssentials
import Glibc
import Lab
import Primitives
import RPC

/// `ftctl vm console`
struct VMConsoleCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "console",
    abstract: "Connects to a virtual machine's serial console; Ctrl-] leaves it.",
    discussion: "The connection is made anew when the host fails over.")

  @Argument(completion: .virtualMachines, transform: userName) var name: VMName
  @Option(help: "How much of the log to print first, in bytes.") var history = 4096
  @Flag(help: "Only watch.") var readOnly = false
  @OptionGroup var options: GlobalOptions

  func validate() throws {
    guard (0...1_048_576).contains(history) else { throw ValidationError("--history is between 0 and 1048576.") }
  }

  func run() async throws {
    try await options.run { session in
      try await session.about(name) {
        try await Console(session: session, name: name, history: history, readsKeys: !readOnly).run()
      }
    }
  }
}

/// The terminal connected to a serial console.
struct Console: Sendable {
  let session: Session
  let name: VMName
  let history: Int
  let readsKeys: Bool

  /// Ctrl-], as in telnet and virsh.
  static let detachKey: UInt8 = 0x1D

  func run() async throws {
    let raw = readsKeys ? RawTerminal() : nil
    defer { raw?.restore() }
    if raw != nil { note("Connected to \(name). Ctrl-] leaves.") }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await show() }
      if readsKeys { tasks.addTask { try await sendKeys(leavesAtEnd: raw != nil) } }
      defer { tasks.cancelAll() }
      try await tasks.next()
    }
    raw?.restore()
    if raw != nil { note("Left \(name).") }
  }

  private func show() async throws {
    let isFirst = Once(true)
    try await session.follow(
      OpenConsole.self, on: .vm,
      params: { .init(name: name, historyBytes: isFirst.take() ? history : 0) },
      reconnecting: { note("Connection lost; connecting again.") },
      { output in
        if let bytes = Data(base64Encoded: output.data) { Terminal.write([UInt8](bytes), STDOUT_FILENO) }
        return true
      })
  }

  /// Ends when the detach key is pressed; on a terminal also when that is closed.
  private func sendKeys(leavesAtEnd: Bool) async throws {
    for await keys in Keyboard.keys() {
      let end = keys.firstIndex(of: Self.detachKey)
      let sent = keys[..<(end ?? keys.endIndex)]
      if !sent.isEmpty { try await send(Array(sent)) }
      if end != nil { return }
    }
    // Standard input ended: what the guest still prints is wanted all the same.
    if !leavesAtEnd { try await Task.sleep(for: .seconds(1_000_000_000)) }
  }

  private func send(_ keys: [UInt8]) async throws(RPCError) {
    do throws(RPCError) {
      let params = WriteConsole.Params(name: name, data: Data(keys).base64EncodedString())
      _ = try await session.call(WriteConsole.self, params, on: .vm)
    } catch {
      guard error.isPassing || error.matches(VMFailure.wrongState) else { throw error }
      note("Not sent: \(error.message)")
    }
  }

  private func note(_ text: String) {
    Terminal.write("\r\n[\(text)]\r\n", STDERR_FILENO)
  }
}

/// True once.
private final class Once: @unchecked Sendable {
  // Used by one task only: the one that follows.
  private var value: Bool

  init(_ value: Bool) { self.value = value }

  func take() -> Bool {
    defer { value = false }
    return value
  }
}

/// What is typed.
enum Keyboard {
  /// Chunks as they come, until standard input ends. Reads on a thread of its own, which ends with the process.
  static func keys() -> AsyncStream<[UInt8]> {
    AsyncStream { continuation in
      OwnThread.start {
        var bytes = [UInt8](repeating: 0, count: 1024)
        while true {
          let count = read(STDIN_FILENO, &bytes, bytes.count)
          if count < 0 && errno == EINTR { continue }
          guard count > 0 else { break }
          continuation.yield(Array(bytes.prefix(count)))
        }
        continuation.finish()
      }
    }
  }
}

/// A terminal that hands on every key, until it is restored.
final class RawTerminal: Sendable {
  private let saved: termios

  /// Nil where standard input is no terminal.
  init?() {
    var state = termios()
    guard Terminal.isTerminal(STDIN_FILENO), tcgetattr(STDIN_FILENO, &state) == 0 else { return nil }
    saved = state
    cfmakeraw(&state)
    tcsetattr(STDIN_FILENO, TCSANOW, &state)
  }

  func restore() {
    var state = saved
    tcsetattr(STDIN_FILENO, TCSANOW, &state)
  }
}
