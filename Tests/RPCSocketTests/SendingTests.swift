import Glibc
import RPC
import Testing

@testable import RPCSocket

@Suite struct SendingTests {
  @Test func `what comes while somebody sends is sent by that one, in order`() throws {
    let (near, far) = try #require(UnixSocket.pair())
    defer { close(near); close(far) }
    var queue = OutboundQueue()
    var batch = OutboundBuffer()
    var other = OutboundBuffer()
    queue.append([1])
    try take(&queue, &batch)
    queue.append([2, 2])
    queue.append([3])
    let isSecond = queue.take(&other)
    #expect(!isSecond, "two would send at once")
    #expect(queue.count == 5 + 6 + 5)
    guard case .everything = batch.send(to: near) else { return #expect(Bool(false), "five bytes have room") }
    let next = queue.takeMore(&batch)
    #expect(next == .more)
    guard case .everything = batch.send(to: near) else { return #expect(Bool(false), "eleven bytes have room") }
    let last = queue.takeMore(&batch)
    #expect(last == .nothing)
    #expect(!queue.isSending && queue.count == 0)
    #expect(received(far) == [0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 2, 0, 0, 0, 1, 3])
  }

  @Test func `what could not be sent goes before what came since`() throws {
    let (near, far) = try #require(UnixSocket.pair())
    defer { close(near); close(far) }
    var queue = OutboundQueue()
    var batch = OutboundBuffer()
    queue.append([1])
    try take(&queue, &batch)
    queue.append([2])
    queue.giveBack(&batch)
    try take(&queue, &batch)
    guard case .everything = batch.send(to: near) else { return #expect(Bool(false), "ten bytes have room") }
    #expect(received(far) == [0, 0, 0, 1, 1, 0, 0, 0, 1, 2])
  }

  @Test func `nobody sends for others without an end`() throws {
    var queue = OutboundQueue()
    var batch = OutboundBuffer()
    queue.append([1])
    try take(&queue, &batch)
    var turns = 0
    repeat {
      turns += 1
      batch.removeAll()
      queue.append([1])
    } while turns < 1_000 && queue.takeMore(&batch) == .more
    #expect(turns < 1_000)
    queue.giveBack(&batch)
    #expect(queue.count == 5 && !queue.isSending)
  }

  @Test func `messages of all sizes from many callers arrive whole`() async throws {
    try await withService { service in
      let client = try await service.client()
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for caller in 0..<32 {
          group.addTask {
            for number in 0..<20 {
              let text = String(repeating: "\(caller)-\(number) ", count: number % 5 == 0 ? 30_000 : number)
              guard try await client.call(Echo.self, .init(text: text)).text == text else { return false }
            }
            return true
          }
        }
        for try await isRight in group { #expect(isRight) }
      }
    }
  }

  @Test func `closing while many send fails each call once`() async throws {
    try await withService { service in
      for _ in 0..<10 {
        let client = try await service.client()
        let text = String(repeating: "x", count: 50_000)
        await withTaskGroup(of: RPCError?.self) { group in
          for _ in 0..<32 {
            group.addTask {
              while true {
                do throws(RPCError) {
                  _ = try await client.call(Echo.self, .init(text: text))
                } catch {
                  return error
                }
              }
            }
          }
          _ = try? await client.call(Echo.self, .init(text: text))
          client.close()
          for await error in group { #expect(error?.matches(CommonFailure.connectionLost) == true) }
        }
      }
      let next = try await service.client()
      #expect(try await next.call(Echo.self, .init(text: "after")).text == "after")
    }
  }

  private func take(_ queue: inout OutboundQueue, _ batch: inout OutboundBuffer) throws {
    let isSender = queue.take(&batch)
    try #require(isSender)
  }

  private func received(_ descriptor: Int32) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    return Array(bytes.prefix(max(0, count)))
  }
}
