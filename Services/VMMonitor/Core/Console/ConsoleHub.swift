import HostConfiguration
import Primitives
import RPC
import Synchronization
import VMAPI

/// The serial consoles of all guests: keeps their logs and passes what they print to whoever listens.
final class ConsoleHub: Sendable {
  typealias Subscriber = AsyncThrowingStream<ConsoleOutput, any Error>.Continuation

  /// Events that a listener may be behind before it is cut off.
  static let subscriberBacklog = 1024
  /// Bytes of one event.
  static let eventBytes = 32 << 10

  private struct Console {
    var log: ConsoleLog
    var socket: ReactorSocket?
    var subscribers: [Int: Subscriber] = [:]
  }

  private struct State {
    var consoles: [VMName: Console] = [:]
    var nextSubscriber = 0
  }

  private let directory: String
  private let connector: ConsoleConnector?
  /// Logs are written and read here, so that history and what follows it never overlap.
  private let queue = BlockingQueue("console logs")
  /// Taken on `queue` alone, for logs are written while it is held.
  private let state = Mutex(State())

  init(_ paths: HostPaths, connector: ConsoleConnector?) {
    directory = "\(paths.local)/vm/console"
    self.connector = connector
  }

  /// Connects to the console of a guest that runs.
  func connect(_ name: VMName, slot: Int, module: ModuleID) {
    guard let target = connector?.target(slot, module) else { return }
    queue.later { [self] in
      let socket = target.reactor.connect(path: target.path) { [weak self] event in
        guard let self, case .bytes(let bytes) = event else { return }
        self.queue.later { self.printed(bytes, by: name) }
      }
      let old = state.withLock { state in
        let old = state.consoles[name]?.socket
        state.consoles[name, default: console(name)].socket = socket
        return old
      }
      old?.close()
      socket?.start()
    }
  }

  /// Lets go of the guest's socket; the log and its listeners stay.
  func disconnect(_ name: VMName) {
    queue.later { [self] in
      let socket = state.withLock { state in
        defer { state.consoles[name]?.socket = nil }
        return state.consoles[name]?.socket
      }
      socket?.close()
    }
  }

  /// Ends the listeners and removes the log of a virtual machine that was undefined.
  func remove(_ name: VMName) {
    queue.later { [self] in
      var console = state.withLock { $0.consoles.removeValue(forKey: name) } ?? console(name)
      console.socket?.close()
      console.log.remove()
      for subscriber in console.subscribers.values { subscriber.finish() }
    }
  }

  /// Types; false when there is no guest to take it.
  func type(_ bytes: [UInt8], into name: VMName) async -> Bool {
    await queue.run { [self] in
      state.withLock { $0.consoles[name]?.socket }?.send(bytes) ?? false
    }
  }

  /// Whether a console is connected.
  func isConnected(_ name: VMName) async -> Bool {
    await queue.run { [self] in state.withLock { $0.consoles[name]?.socket != nil } }
  }

  /// What was printed last, and then what is printed.
  func follow(_ name: VMName, historyBytes: Int) -> AsyncThrowingStream<ConsoleOutput, any Error> {
    let (stream, subscriber) = AsyncThrowingStream<ConsoleOutput, any Error>.makeStream(
      bufferingPolicy: .bufferingOldest(Self.subscriberBacklog))
    queue.later { [self] in
      let id = state.withLock { state in
        state.nextSubscriber += 1
        return state.nextSubscriber
      }
      subscriber.onTermination = { [weak self] _ in self?.leave(name, id) }
      let history = state.withLock { $0.consoles[name]?.log ?? console(name).log }.tail(historyBytes)
      send(history, to: subscriber)
      state.withLock { $0.consoles[name, default: console(name)].subscribers[id] = subscriber }
    }
    return stream
  }

  private func leave(_ name: VMName, _ id: Int) {
    queue.later { [self] in
      state.withLock { state in _ = state.consoles[name]?.subscribers.removeValue(forKey: id) }
    }
  }

  private func console(_ name: VMName) -> Console { Console(log: ConsoleLog(path: "\(directory)/\(name).log")) }

  private func printed(_ bytes: [UInt8], by name: VMName) {
    let subscribers = state.withLock { state -> [Subscriber] in
      guard state.consoles[name] != nil else { return [] }
      state.consoles[name]?.log.append(bytes)
      return Array(state.consoles[name]?.subscribers.values ?? [:].values)
    }
    for subscriber in subscribers { send(bytes, to: subscriber) }
  }

  private func send(_ bytes: [UInt8], to subscriber: Subscriber) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = rest.prefix(Self.eventBytes)
      rest = rest.dropFirst(part.count)
      guard case .dropped = subscriber.yield(ConsoleOutput(data: Base64.encode(part))) else { continue }
      subscriber.finish(
        throwing: RPCError(
          CommonFailure.limitExceeded, "The console printed faster than you read; open it again to go on."))
      return
    }
  }
}
