import FTVSClient
import Foundation
import Glibc
import Logging
import Testing

/// What an integrator writes first: a client of the standard library of Python, against a live server.
@Suite struct PythonExampleTests {
  private struct Output {
    let lines: [String]
    let error: String
    let status: Int32
  }

  /// Runs the example against a server with a few methods.
  private func run(_ arguments: String...) async throws -> Output {
    let path = "/tmp/ftvs-test-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    let listener = try listen(path)
    defer {
      close(listener)
      unlink(path)
    }
    var router = Router(title: "test", version: "1")
    router.serve(ServicePing.self) { _, _ throws(RPCError) in .init(service: .vm, module: .cpu1, epoch: 7) }
    router.serve(FollowAlerts.self) { params, _ throws(RPCError) in
      AsyncThrowingStream { continuation in
        for number in 1...3 {
          continuation.yield(AlertEvent(missedThroughSequence: (params.afterSequence ?? 0) + Int64(number)))
        }
        continuation.finish()
      }
    }
    router.serve(StartVM.self) { params, _ throws(RPCError) in
      throw RPCError(VMFailure.noSuchVM, "No virtual machine is named \(params.name).")
    }
    let server = RPCServer(
      listener: listener, router: router, policy: .sameUserIsEverything(), logger: Logger(label: "test"))
    let running = Task { try await server.run() }
    let output = try await python([path] + arguments)
    server.stop()
    _ = try? await running.value
    return output
  }

  private func python(_ arguments: [String]) async throws -> Output {
    let example = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../Examples/client.py")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", example.path] + arguments
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    await withCheckedContinuation { continuation in
      process.terminationHandler = { _ in continuation.resume() }
      do { try process.run() } catch { continuation.resume() }
    }
    func text(_ pipe: Pipe) -> String {
      String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }
    return Output(
      lines: text(output).split(separator: "\n").map(String.init), error: text(errors),
      status: process.terminationStatus)
  }

  private func listen(_ path: String) throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(result == 0 && Glibc.listen(descriptor, 16) == 0)
    return descriptor
  }

  @Test func `it prints a result`() async throws {
    let output = try await run("service.ping")
    #expect(output.lines == [#"{"service": "vm", "module": "cpu1", "epoch": 7}"#])
    #expect(output.status == 0)
  }

  @Test func `it passes parameters and says what a service answers to wrong ones`() async throws {
    let output = try await run("vm.start", #"{"name":"../x"}"#)
    #expect(output.error.hasPrefix(#"invalidParams: params.name: "../x" is refused. A virtual machine name has"#))
    #expect(output.status == 1)
  }

  @Test func `it says a failure's kind and message`() async throws {
    let output = try await run("vm.start", #"{"name":"guest"}"#)
    #expect(output.error == "noSuchVM: No virtual machine is named guest.\n")
  }

  @Test func `it follows a subscription to its end`() async throws {
    let output = try await run("alert.follow", #"{"afterSequence":10}"#)
    #expect(output.lines.count == 4)
    #expect(output.lines.last == #"{"missedThroughSequence": 13}"#)
    #expect(output.status == 0)
  }
}
