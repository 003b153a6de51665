import FTVSClient
import Foundation
import Glibc
import Logging
import Testing

/// The examples of Shared/FTVSClient/README.md, as they stand there, against live servers.
@Suite struct PageExampleTests {
  /// Runs a body with a host whose services know a few methods.
  private func withHost(_ body: (FTVSHost) async throws -> Void) async throws {
    let directory = "/tmp/ftvs-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var servers: [(RPCServer, Task<Void, any Error>, Int32)] = []
    for service in ServiceName.allCases {
      let listener = try listen("\(directory)/\(service.rawValue).sock")
      let server = RPCServer(
        listener: listener, router: router(), policy: .sameUserIsEverything(), logger: Logger(label: "test"))
      servers.append((server, Task { try await server.run() }, listener))
    }
    let result: Result<Void, any Error>
    do { result = .success(try await body(FTVSHost(runDirectory: directory))) } catch { result = .failure(error) }
    for (server, running, listener) in servers {
      server.stop()
      _ = try? await running.value
      close(listener)
    }
    try result.get()
  }

  private func router() -> Router {
    let vm = VMSummary(name: VMName(unchecked: "guest"), state: .running, module: .cpu0, autostart: true, failovers: 0)
    var router = Router(title: "test", version: "1")
    router.serve(ListVMs.self) { _, _ throws(RPCError) in .init(vms: [vm]) }
    router.serve(StartVM.self) { params, _ throws(RPCError) in
      guard params.name == vm.name else {
        throw RPCError(VMFailure.noSuchVM, "No virtual machine is named \(params.name).")
      }
      return vm
    }
    router.serve(ListVolumes.self) { _, _ throws(RPCError) in .init(volumes: []) }
    router.serve(CreateVolume.self) { params, _ throws(RPCError) in
      VolumeStatus(
        volume: params.volume, sizeBytes: params.sizeBytes ?? 0, layers: [], hasUndoLayer: false, generation: 1,
        sessions: 0, legs: [])
    }
    router.serve(FollowAlerts.self) { params, _ throws(RPCError) in
      let (stream, continuation) = AsyncThrowingStream<AlertEvent, any Error>.makeStream()
      let next = (params.afterSequence ?? 0) + 1
      for number in next..<next + 3 { continuation.yield(AlertEvent(missedThroughSequence: number)) }
      // As a service that is stopping ends it: following goes on from there.
      continuation.finish(throwing: RPCError(CommonFailure.stopping, "Handing over."))
      return stream
    }
    return router
  }

  private func listen(_ path: String) throws -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
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

  @Test func `calling methods`() async throws {
    try await withHost { host in
      for vm in try await host.vm.call(ListVMs.self).vms {
        print(vm.name, vm.state, vm.module?.rawValue ?? "-")
      }
      if let name = VMName(rawValue: "guest") {
        let vm = try await host.vm.call(StartVM.self, .init(name: name))
        print(vm.state)
      }
    }
  }

  @Test func `calling a method by its name`() async throws {
    try await withHost { host in
      let answer = try await host.storage.call(method: "volume.list", params: [:], effect: .read)
      print(JSON.indented(answer))
      #expect(answer == ["volumes": []])
    }
  }

  @Test func `following alerts`() async throws {
    try await withHost { host in
      var seen: [Int64] = []
      let alerts = host.alerts.follow(FollowAlerts.self) { last in
        .init(afterSequence: last?.alert?.sequence ?? last?.missedThroughSequence ?? 0)
      }
      for try await event in alerts {
        seen.append(event.missedThroughSequence ?? 0)
        if seen.count == 8 { break }
      }
      #expect(seen == Array(1...8))
    }
  }

  @Test func `a request key of one's own`() async throws {
    let name = VolumeName(unchecked: "disk0")
    try await withHost { host in
      let key = RequestKey.random(millisecondsSinceEpoch: Int64(Date().timeIntervalSince1970 * 1_000))
      let volume = try await host.storage.call(
        CreateVolume.self, .init(volume: name, sizeBytes: 1 << 30, requestKey: key))
      #expect(volume.sizeBytes == 1 << 30)
    }
  }

  @Test func `deciding by the failure`() async throws {
    let name = VMName(unchecked: "other")
    try await withHost { host in
      var advice = ""
      do {
        _ = try await host.vm.call(StartVM.self, .init(name: name))
      } catch let error as RPCError where error.matches(VMFailure.noSuchVM) {
        advice = "define it first"
      } catch let error as RPCError where error.matches(CommonFailure.unreachable) {
        advice = "the host does not run: \(error.message)"
      }
      #expect(advice == "define it first")
    }
  }
}
