import Glibc
import Testing

@testable import Systemd

/// Sockets for one test, at descriptors that follow each other.
private final class Sockets {
  let first: Int32
  private let count: Int

  /// Listening sockets, then `others` that are connected and not listening.
  init(listening: Int, connected: Int = 0) throws {
    var made: [Int32] = []
    for _ in 0..<listening {
      let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      // Only the family: the kernel draws an abstract name.
      let bound = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(descriptor, $0, 2) }
      }
      try #require(bound == 0 && listen(descriptor, 1) == 0)
      made.append(descriptor)
    }
    for _ in 0..<connected { made.append(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)) }
    count = made.count
    // Where no other test of this process has anything open: the kernel gives the lowest numbers first.
    first = Self.end - Int32.random(in: 8...200)
    for (index, descriptor) in made.enumerated() {
      try #require(dup2(descriptor, first + Int32(index)) >= 0)
      close(descriptor)
    }
  }

  /// The first number that no descriptor can have.
  static let end: Int32 = {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return Int32(clamping: min(limit.rlim_cur, 1 << 20))
  }()

  deinit { for index in 0..<count { close(first + Int32(index)) } }
}

@Suite(.serialized) struct SocketActivationTests {
  private func variables(_ names: String, count: Int) -> [String: String] {
    ["LISTEN_PID": "42", "LISTEN_FDS": "\(count)", "LISTEN_FDNAMES": names]
  }

  @Test func socketsAreFoundByNameWhateverTheirOrder() throws {
    let passed = try Sockets(listening: 2)
    let found = try SocketActivation.sockets(
      environment: variables("nbd:storage", count: 2), processID: 42, firstDescriptor: passed.first,
      requiring: ["storage", "nbd"])
    #expect(found == ["nbd": passed.first, "storage": passed.first + 1])
  }

  @Test func socketsAreClosedOnExec() throws {
    let passed = try Sockets(listening: 1)
    _ = try SocketActivation.sockets(
      environment: variables("vm", count: 1), processID: 42, firstDescriptor: passed.first, requiring: [])
    #expect(fcntl(passed.first, F_GETFD) & FD_CLOEXEC != 0)
  }

  @Test func variablesOfAnotherProcessAreIgnored() throws {
    let found = try SocketActivation.sockets(
      environment: variables("vm", count: 1), processID: 43, firstDescriptor: 3, requiring: [])
    #expect(found.isEmpty)
  }

  @Test func aMissingSocketNamesTheUnitToStart() throws {
    let passed = try Sockets(listening: 1)
    let error = #expect(throws: ActivationError.self) {
      try SocketActivation.sockets(
        environment: variables("vm", count: 1), processID: 42, firstDescriptor: passed.first, requiring: ["storage"])
    }
    #expect(error == .missing(name: "storage", passed: ["vm"]))
    #expect(error?.description.contains("systemctl start ftvs-storage.socket") == true)
  }

  @Test func aSocketThatDoesNotListenIsRefused() throws {
    let passed = try Sockets(listening: 0, connected: 1)
    #expect(throws: ActivationError.notListening(name: "vm")) {
      try SocketActivation.sockets(
        environment: variables("vm", count: 1), processID: 42, firstDescriptor: passed.first, requiring: ["vm"])
    }
  }

  @Test func aDescriptorThatIsNotOpenIsRefused() {
    #expect(throws: ActivationError.notOpen(name: "vm")) {
      try SocketActivation.sockets(
        environment: variables("vm", count: 1), processID: 42, firstDescriptor: Sockets.end, requiring: ["vm"])
    }
  }

  @Test func twoSocketsOfOneNameAreRefused() throws {
    let passed = try Sockets(listening: 2)
    #expect(throws: ActivationError.twice(name: "vm")) {
      try SocketActivation.sockets(
        environment: variables("vm:vm", count: 2), processID: 42, firstDescriptor: passed.first, requiring: [])
    }
  }

  @Test(arguments: [
    ["LISTEN_PID": "42", "LISTEN_FDS": "x"], ["LISTEN_PID": "42", "LISTEN_FDS": "-1"],
    ["LISTEN_PID": "", "LISTEN_FDS": "1"], ["LISTEN_PID": "42", "LISTEN_FDS": "99999999999"],
    ["LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "one"],
  ])
  func variablesThatMakeNoSenseAreRefused(_ environment: [String: String]) {
    #expect(throws: ActivationError.malformed) {
      try SocketActivation.sockets(environment: environment, processID: 42, firstDescriptor: 3, requiring: [])
    }
  }
}
