import Foundation
import Glibc
import RPC
import Synchronization
import Testing

@testable import RPCSocket

@Suite(.timeLimit(.minutes(1))) struct FramedSocketTests {
  @Test func `what a peer said before it closed is heard although sending fails first`() async throws {
    let (ours, peers) = try #require(UnixSocket.pair())
    let loop = EventLoop(name: "test")
    #expect(loop.start())
    defer { loop.stop() }
    let owner = Listener()
    let socket = FramedSocket(ours, loop: loop, limits: .init(), budget: InboundBudget(limit: .max, free: 0))
    #expect(socket.start(owner))

    // The loop is busy with another descriptor while all this happens, so that it learns of the failure first.
    let other = try BusyDescriptor(on: loop)
    await other.isBusy()
    let said = RawSocket.frame("why it closes")
    #expect(write(peers, said, said.count) == said.count)
    close(peers)
    #expect(socket.send(Array("a request".utf8)))
    other.goOn()

    #expect(await owner.end() == ["why it closes"])
  }
}

/// Keeps what a socket hears until it is closed.
private final class Listener: FramedSocketOwner {
  private let heard = Mutex<[String]>([])
  private let ended = AsyncStream<Void>.makeStream()

  /// Waits for the end, and tells what came before it.
  func end() async -> [String] {
    for await _ in ended.stream {}
    return heard.withLock { $0 }
  }

  func mayReceive() -> Bool { true }
  func received(_ text: UnsafeBufferPointer<UInt8>) {
    heard.withLock { $0.append(String(decoding: text, as: UTF8.self)) }
  }
  func queueEmptied() {}
  func peerFinishedSending() {}
  func broken(_ error: RPCError) {}
  func deadlinePassed() {}
  func closed() { ended.continuation.finish() }
}

/// A descriptor whose handler keeps the loop's thread until it may go on.
private final class BusyDescriptor: EventHandler {
  private let ends: (Int32, Int32)
  private let entered = AsyncStream<Void>.makeStream()
  private let mayGoOn = DispatchSemaphore(value: 0)
  private let loop: EventLoop
  private let registration = Mutex<EventLoop.Registration?>(nil)

  init(on loop: EventLoop) throws {
    self.loop = loop
    ends = try #require(UnixSocket.pair())
    let watched = loop.add(ends.0, .readable, self)
    registration.withLock { $0 = watched }
    write(ends.1, "x", 1)
  }

  deinit {
    close(ends.0)
    close(ends.1)
  }

  func isBusy() async { for await _ in entered.stream {} }

  func goOn() { mayGoOn.signal() }

  func ready(_ events: EventLoop.Events) {
    entered.continuation.finish()
    mayGoOn.wait()
    if let registration = registration.withLock({ $0 }) { loop.remove(registration, ends.0) }
  }

  func deadlinePassed() {}
}
