import AlertAPI
import Dispatch
import Glibc
import RPC

extension AlertLog {
  /// The methods of the service, answered by this log.
  public func router(version: String) -> Router {
    var router = Router(title: "FTVS alerts", version: version)
    router.serve(AppendAlerts.self) { params, _ throws(RPCError) in try await self.append(params) }
    router.serve(ListAlerts.self) { params, _ throws(RPCError) in try await self.list(params) }
    router.serve(AcknowledgeAlerts.self) { params, context throws(RPCError) in
      try await self.acknowledge(params, by: await UserNames.name(of: context.caller.userID))
    }
    router.serve(FollowAlerts.self) { params, _ throws(RPCError) in try await self.follow(params) }
    return router
  }
}

/// Names of Unix users. Looking one up may ask the network, so it does not run on the cooperative pool.
enum UserNames {
  private static let queue = DispatchQueue(label: "ftvs.alerts.users")

  static func name(of userID: UInt32) async -> String {
    await withCheckedContinuation { continuation in
      queue.async { continuation.resume(returning: lookUp(userID) ?? "user \(userID)") }
    }
  }

  private static func lookUp(_ userID: UInt32) -> String? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16_384)
    guard getpwuid_r(userID, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name
    else { return nil }
    return String(cString: name)
  }
}
