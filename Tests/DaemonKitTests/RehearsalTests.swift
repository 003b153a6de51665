import FTVSClient
import Foundation
import Synchronization
import Systemd
import Testing

@testable import DaemonKit

@Suite(.timeLimit(.minutes(2))) struct RehearsalTests {
  private struct Refused: Error {}

  private static func notifier(_ manager: NotifySocket) -> Notifier {
    Notifier(environment: ["NOTIFY_SOCKET": manager.path], processID: 1)
  }

  @Test func aStandbyRehearsesATakeoverOnOtherDirectoriesBeforeItIsReady() async throws {
    let host = try TestHost()
    let active = host.start(.cpu0)
    _ = try await host.client.call(ServicePing.self)
    let manager = try NotifySocket(host.folder.path + "/notify")
    let called = Mutex(0)
    let rehearsed = Mutex<[Activation]>([])
    let standby = host.start(
      .cpu1, notifier: Self.notifier(manager),
      rehearse: { activation in
        rehearsed.withLock { $0.append(activation) }
        var router = Router(title: "test", version: "1")
        router.serve(ListVMs.self) { _, _ throws(RPCError) in
          called.withLock { $0 += 1 }
          return ListVMs.Result(vms: [])
        }
        return RehearsedService(router: router, calls: [("vm.list", [:])])
      })
    _ = await manager.next { $0.hasPrefix("READY=1\nSTATUS=standby") }
    let activation = try #require(rehearsed.withLock { $0.first })
    #expect(called.withLock(\.self) == 1)
    #expect(activation.configuration.labSocket == host.configuration.labSocket)
    #expect(activation.paths.run != host.paths.run && activation.paths.local != host.paths.local)
    #expect(Set(activation.paths.legs.values).isDisjoint(with: host.paths.legs.values))
    #expect(!FileManager.default.fileExists(atPath: activation.paths.run), "nothing is left behind")
    #expect(try await host.client.call(ServicePing.self).module == .cpu0)
    try await active.stop()
    #expect(try await host.client.call(ServicePing.self).epoch == 2)
    try await standby.stop()
  }

  @Test func aRehearsalThatFailsKeepsNobodyFromBeingReady() async throws {
    let host = try TestHost()
    let active = host.start(.cpu0)
    _ = try await host.client.call(ServicePing.self)
    let manager = try NotifySocket(host.folder.path + "/notify")
    let standby = host.start(.cpu1, notifier: Self.notifier(manager), rehearse: { _ in throw Refused() })
    _ = await manager.next { $0.hasPrefix("READY=1\nSTATUS=standby") }
    try await active.stop()
    #expect(try await host.client.call(ServicePing.self).module == .cpu1)
    try await standby.stop()
  }

  @Test func whoFindsTheLeaseFreeDoesNotRehearse() async throws {
    let host = try TestHost()
    let count = Mutex(0)
    let rehearse: DaemonDescription.Rehearse = { _ in
      count.withLock { $0 += 1 }
      throw Refused()
    }
    let active = host.start(.cpu0, rehearse: rehearse)
    _ = try await host.client.call(ServicePing.self)
    #expect(count.withLock(\.self) == 0)
    try await active.stop()
  }
}
