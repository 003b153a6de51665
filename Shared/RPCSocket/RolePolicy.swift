import CLinux
import Glibc
import RPC

/// How a peer's Unix user and groups become roles.
public struct RolePolicy: Sendable {
  private let viewers: UInt32?
  private let operators: UInt32?
  private let admins: UInt32?
  private let services: Set<UInt32>
  private let everything: UInt32?

  /// By the groups `ftvs-viewer`, `ftvs-operator` and `ftvs-admin` and the users of the services.
  ///
  /// Names are looked up now, once: one that does not exist yet gives nobody a role until the service is started anew.
  public static func groups() -> RolePolicy { RolePolicy(everything: nil) }

  /// As `groups`, and whoever runs this process may do everything: for a lab in a user's directory.
  public static func sameUserIsEverything() -> RolePolicy { RolePolicy(everything: geteuid()) }

  private init(everything: UInt32?) {
    self.everything = everything
    viewers = Self.groupID("ftvs-viewer")
    operators = Self.groupID("ftvs-operator")
    admins = Self.groupID("ftvs-admin")
    let users = ["ftvs-hardware", "ftvs-vm", "ftvs-storage", "ftvs-alerts", "ftvs-module"]
    services = Set(users.compactMap(Self.userID))
  }

  /// The peer of a connected socket; nil when the kernel does not say.
  public func caller(of descriptor: Int32) -> Caller? {
    var process: pid_t = 0
    var user: uid_t = 0
    var group: gid_t = 0
    guard ftvs_peer_credentials(descriptor, &process, &user, &group) == 0 else { return nil }
    return caller(
      userID: user, groupIDs: [group] + Self.supplementaryGroups(of: descriptor), processID: process)
  }

  /// The roles of a user with these groups.
  public func caller(userID: UInt32, groupIDs: [UInt32], processID: Int32) -> Caller {
    let isEverything = everything == userID
    func has(_ group: UInt32?) -> Bool { group.map(groupIDs.contains) ?? false }
    let role: Caller.Role? =
      isEverything || has(admins) ? .admin : has(operators) ? .operator : has(viewers) ? .viewer : nil
    return Caller(
      userID: userID, groupIDs: groupIDs, processID: processID, role: role,
      isService: isEverything || services.contains(userID))
  }

  /// The groups beside the primary one, as they were when the peer connected.
  private static func supplementaryGroups(of descriptor: Int32) -> [UInt32] {
    var groups = [UInt32](repeating: 0, count: 64)
    while true {
      let count = Int(ftvs_peer_groups(descriptor, &groups, Int32(groups.count)))
      if count <= groups.count { return Array(groups.prefix(max(0, count))) }
      // Linux has at most 65,536 groups a process.
      guard count <= 65_536 else { return [] }
      groups = [UInt32](repeating: 0, count: count)
    }
  }

  private static func groupID(_ name: String) -> UInt32? {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: 1 << 16)
    return getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0 && found != nil ? entry.gr_gid : nil
  }

  private static func userID(_ name: String) -> UInt32? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 1 << 14)
    return getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0 && found != nil ? entry.pw_uid : nil
  }
}
