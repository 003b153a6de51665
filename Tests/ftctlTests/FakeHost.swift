import FTVSClient
import Foundation
import Logging
import Primitives
import RPC
import Synchronization
import Testing

@testable import ftctl

/// The sockets of a host behind which simple stand-ins answer.
final class FakeHost: Sendable {
  let directory: String
  let volumes = Mutex<[String: [UInt8]]>([:])
  let images = Mutex<[String: Int]>([:])
  /// What was typed at the console.
  let typed = Mutex<[UInt8]>([])
  /// Consoles that were opened; the first two are cut after a word.
  let consoles = Mutex(0)
  /// Numbers after which the alert log was followed.
  let followedAfter = Mutex<[Int64?]>([])
  /// Writes that succeed before storage fails.
  let writesLeft = Mutex(Int.max)
  /// Definitions of virtual machines, the newest last.
  let definitions = Mutex<[String]>(["<domain><name>web</name></domain>\n"])
  private let servers = Mutex<[RPCServer]>([])

  /// Runs a body with a host whose services are those named.
  static func run(
    _ services: [ServiceName] = ServiceName.allCases, _ body: @Sendable (FakeHost, Session) async throws -> Void
  ) async throws {
    let host = try FakeHost()
    defer { try? FileManager.default.removeItem(atPath: host.directory) }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for service in services {
        let server = try host.server(service)
        tasks.addTask { try await server.run() }
      }
      defer { tasks.cancelAll() }
      try await body(host, Session(directory: host.directory, output: .json, timeout: .seconds(10)))
    }
  }

  private init() throws {
    var template = Array("/tmp/ftctl-test-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func server(_ service: ServiceName) throws -> RPCServer {
    let path = "\(directory)/\(service.rawValue).sock"
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0 && listen(descriptor, 64) == 0)
    return RPCServer(
      listener: descriptor, router: router(service), policy: .sameUserIsEverything(),
      logger: Logger(label: "fake") { _ in SwiftLogNoOpLogHandler() })
  }

  private func router(_ service: ServiceName) -> Router {
    var router = Router(title: service.rawValue, version: "1")
    router.serve(GetServiceStatus.self) { _, _ in HostFixture.status(service) }
    switch service {
    case .hardware:
      router.serve(GetModules.self) { _, _ in HostFixture.modules }
      router.serve(GetServices.self) { _, _ in HostFixture.placement }
    case .vm:
      router.serve(ListVMs.self) { _, _ in HostFixture.vms }
      router.serve(StartVM.self) { params, _ throws(RPCError) in
        throw RPCError(VMFailure.noSuchVM, "There is no virtual machine \(params.name).")
      }
      serveConsole(&router)
      serveDefinitions(&router)
    case .storage: serveStorage(&router)
    case .alerts:
      // Each follower gets two alerts, and is cut then.
      router.serve(FollowAlerts.self) { params, _ in
        self.followedAfter.withLock { $0.append(params.afterSequence) }
        let next = (params.afterSequence ?? 0) + 1
        return AsyncThrowingStream { continuation in
          for number in next...next + 1 {
            continuation.yield(AlertEvent(alert: HostFixture.alert(number, .info, "number \(number)")))
          }
          continuation.finish(throwing: RPCError(CommonFailure.stopping, "Handing over."))
        }
      }
      router.serve(ListAlerts.self) { _, _ in .init(alerts: [], firstSequence: 1, lastSequence: 0) }
    }
    return router
  }

  private func serveConsole(_ router: inout Router) {
    router.serve(OpenConsole.self) { params, _ in
      let number = self.consoles.withLock { count in
        count += 1
        return count
      }
      let text = Data("<\(number):\(params.historyBytes ?? -1)>".utf8).base64EncodedString()
      return AsyncThrowingStream { continuation in
        continuation.yield(ConsoleOutput(data: text))
        if number < 3 { continuation.finish(throwing: RPCError(CommonFailure.stopping, "Handing over.")) }
      }
    }
    router.serve(WriteConsole.self) { params, _ in
      let bytes = Data(base64Encoded: params.data) ?? Data()
      self.typed.withLock { $0 += bytes }
      return .init(writtenBytes: bytes.count)
    }
  }

  private func serveStorage(_ router: inout Router) {
    router.serve(GetLegs.self) { _, _ in .init(legs: HostFixture.legs) }
    router.serve(ListVolumes.self) { _, _ in .init(volumes: [HostFixture.volume]) }
    router.serve(ListImages.self) { _, _ in
      let images = self.images.withLock { $0 }
      return .init(images: images.map { self.image($0.key, $0.value) })
    }
    router.serve(CreateVolume.self) { params, _ throws(RPCError) in
      let isNew = self.volumes.withLock { volumes in
        defer { volumes[params.volume.rawValue] = volumes[params.volume.rawValue] ?? Self.zeros(params.sizeBytes) }
        return volumes[params.volume.rawValue] == nil
      }
      guard isNew else { throw RPCError(StorageFailure.volumeExists, "It exists.") }
      return HostFixture.volume
    }
    router.serve(WriteVolume.self) { params, _ throws(RPCError) in
      let fails = self.writesLeft.withLock { left in
        left -= 1
        return left < 0
      }
      if fails { throw RPCError(StorageFailure.outOfSpace, "Both legs are full.") }
      let bytes = Data(base64Encoded: params.data) ?? Data()
      self.volumes.withLock { volumes in
        let begin = Int(params.offsetBytes)
        volumes[params.volume.rawValue]?.replaceSubrange(begin..<begin + bytes.count, with: bytes)
      }
      return .init(writtenBytes: bytes.count)
    }
    router.serve(PromoteVolume.self) { params, _ in
      let bytes = self.volumes.withLock { $0.removeValue(forKey: params.volume.rawValue)?.count ?? 0 }
      self.images.withLock { $0[params.image.rawValue] = bytes }
      return self.image(params.image.rawValue, bytes)
    }
    router.serve(DeleteVolume.self) { params, _ in
      .init(deleted: self.volumes.withLock { $0.removeValue(forKey: params.volume.rawValue) != nil })
    }
  }

  private static func zeros(_ count: Int64?) -> [UInt8] { [UInt8](repeating: 0, count: Int(count ?? 0)) }

  private func image(_ name: String, _ bytes: Int) -> ImageStatus {
    ImageStatus(
      image: ImageName(unchecked: name), sizeBytes: Int64(bytes), allocatedBytes: 0, description: "",
      createdMilliseconds: 0, usedBy: [])
  }
}

extension FakeHost {
  /// One virtual machine, whose definition is refused while it says "wrong".
  private func serveDefinitions(_ router: inout Router) {
    @Sendable func detail(_ version: Int, _ text: String) -> VMDetail {
      VMDetail(
        name: VMName(unchecked: "web"), identifier: "1", state: .defined, autostart: false, failovers: 0,
        memoryBytes: 1,
        cpus: 1, disks: [], engine: "qemu", definition: text, version: version)
    }
    router.serve(ShowVM.self) { params, _ throws(RPCError) in
      let texts = self.definitions.withLock { $0 }
      let version = params.version ?? texts.count
      guard texts.indices.contains(version - 1) else { throw RPCError(VMFailure.noSuchVersion, "no version") }
      return detail(version, texts[version - 1])
    }
    router.serve(DefineVM.self) { params, _ throws(RPCError) in
      guard !params.definition.contains("wrong") else { throw RPCError(VMFailure.badDefinition, "line 1: wrong") }
      let version = self.definitions.withLock { texts -> Int? in
        guard params.expectedVersion == nil || params.expectedVersion == texts.count else { return nil }
        texts.append(params.definition)
        return texts.count
      }
      guard let version else { throw RPCError(VMFailure.definitionChanged, "another version") }
      return detail(version, params.definition)
    }
  }
}
