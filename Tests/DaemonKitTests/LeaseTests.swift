import Glibc
import Testing

@testable import DaemonKit

struct LeaseTests {
  private func take(_ path: String) async throws -> Lease { try #require(try await Lease.take(path)) }

  @Test func theDirectoryIsMade() async throws {
    let folder = try Folder()
    let lease = try await take(folder.path + "/a/b/storage")
    lease.release()
    #expect(folder.names("a/b") == ["storage"])
  }

  @Test func theSecondGetsItWhenTheFirstLetsGo() async throws {
    let folder = try Folder()
    let path = folder.path + "/lease"
    let first = try await take(path)
    let order = Recorder()
    let second = Task {
      let lease = try await take(path)
      order.append("taken")
      lease.release()
    }
    order.append("released")
    first.release()
    try await second.value
    #expect(order.entries == ["released", "taken"])
  }

  @Test func aWaitThatIsCancelledLeavesTheLeaseToOthers() async throws {
    let folder = try Folder()
    let path = folder.path + "/lease"
    let first = try await take(path)
    let waiting = Task { try await Lease.take(path) }
    waiting.cancel()
    #expect(try await waiting.value == nil)
    first.release()
    // The thread of the cancelled wait may get the lock first; it gives it back.
    try await take(path).release()
  }

  @Test func theHolderIsKnownWhileItHolds() async throws {
    let folder = try Folder()
    let path = folder.path + "/lease"
    #expect(Lease.holder(path: path) == nil)
    let lease = try await take(path)
    #expect(Lease.holder(path: path) == nil)
    let holder = Lease.Holder(module: .cpu1, processID: Int(getpid()), epoch: 7)
    lease.declare(holder)
    #expect(Lease.holder(path: path) == holder)
    lease.release()
    #expect(Lease.holder(path: path) == nil)
  }

  @Test func theLineOfAProcessThatEndedNamesNobody() async throws {
    let folder = try Folder()
    let path = folder.path + "/lease"
    let lease = try await take(path)
    // Above the largest number that Linux gives a process.
    lease.declare(Lease.Holder(module: .cpu0, processID: 1 << 22 + 1, epoch: 7))
    #expect(Lease.holder(path: path) == nil)
    lease.declare(Lease.Holder(module: .cpu0, processID: Int.max, epoch: 7))
    #expect(Lease.holder(path: path) == nil)
    lease.release()
  }

  @Test func aLineThatIsNotOursNamesNobody() async throws {
    let folder = try Folder()
    let path = folder.path + "/lease"
    let lease = try await take(path)
    for text in ["", "{}", "garbage", #"{"module":"cpu9","processID":1,"epoch":1}"#] {
      try folder.write(text, "other")
      try folder.move("other", to: "lease")
      #expect(Lease.holder(path: path) == nil)
    }
    lease.release()
  }

  @Test func theDescriptorIsNotInherited() async throws {
    let folder = try Folder()
    let lease = try await take(folder.path + "/lease")
    defer { lease.release() }
    #expect(fcntl(lease.descriptor, F_GETFD) & FD_CLOEXEC != 0)
  }
}
