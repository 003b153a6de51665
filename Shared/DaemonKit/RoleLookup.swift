import HostConfiguration
import Primitives
import RPCSocket

/// Who may call, found out on a thread of its own from the start of the process on.
///
/// Names are asked of services of the host (nsswitch.conf(5)) that may be slow, most of all while the host fails over: neither the wait
/// for the lease nor the opening of the state stands still for them.
final class RoleLookup: Sendable {
  private let (answers, source) = AsyncStream<RolePolicy>.makeStream(bufferingPolicy: .bufferingNewest(1))
  private let answer: Task<RolePolicy?, Never>

  init(_ configuration: HostConfiguration) {
    // In the lab everything belongs to one user, who may do everything there.
    let isLab = configuration.labSocket != nil
    startThread(name: "ftvs-names") { [source] in
      source.yield(isLab ? .sameUserIsEverything() : .groups())
      source.finish()
    }
    answer = Task { [answers] in
      for await policy in answers { return policy }
      return nil
    }
  }

  /// The policy, once it is known.
  func policy() async -> RolePolicy {
    await answer.value ?? .groups()
  }
}
