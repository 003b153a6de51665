import ArgumentParser
import FTVSClient
import Glibc

/// The client under measurement: an integrator's program, over FTVSClient.
struct RPCClientCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "rpc-client", shouldDisplay: false)
  /// Calls before those that count; the peers make as many.
  private static let warmUpCalls = 100

  @Argument var socket: String
  @Argument var calls: Int
  @Argument var inFlight: Int
  /// Keeps the connection afterwards, without using it, until the process is killed.
  @Flag var stays = false

  func run() async throws {
    let client = ServiceClient(socketPath: socket)
    _ = try await make(Self.warmUpCalls, with: client)
    let begin = ContinuousClock.now
    let times = Samples(try await make(calls, with: client))
    let seconds = (ContinuousClock.now - begin) / .seconds(1)
    print(times.median, times.percentile(0.99), Double(times.count) / seconds)
    fflush(nil)
    while stays { try await Task.sleep(for: .seconds(86_400)) }
  }

  /// Makes the calls; the microseconds of each.
  private func make(_ calls: Int, with client: ServiceClient) async throws -> [Double] {
    guard inFlight > 1 else { return try await Self.oneAfterTheOther(calls, with: client) }
    return try await withThrowingTaskGroup(of: [Double].self) { group in
      for index in 0..<inFlight {
        let share = (calls + index) / inFlight
        group.addTask { try await Self.oneAfterTheOther(share, with: client) }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
  }

  private static func oneAfterTheOther(_ calls: Int, with client: ServiceClient) async throws -> [Double] {
    var times: [Double] = []
    times.reserveCapacity(calls)
    for _ in 0..<calls {
      let begin = ContinuousClock.now
      _ = try await client.call(ServicePing.self)
      times.append((ContinuousClock.now - begin) / .microseconds(1))
    }
    return times
  }
}
