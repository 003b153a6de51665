/// Who calls: what the kernel says of the peer, and the roles that follow from it.
public struct Caller: Sendable, Hashable {
  /// Roles that a person has; each includes those before it.
  public enum Role: Int, Sendable, Hashable, Comparable, CaseIterable {
    case viewer, `operator`, admin

    public static func < (left: Role, right: Role) -> Bool { left.rawValue < right.rawValue }
  }

  public var userID: UInt32
  /// The primary group and the supplementary ones.
  public var groupIDs: [UInt32]
  public var processID: Int32
  /// What it may do as a person; nil is no more than to connect.
  public var role: Role?
  /// Whether it is one of the host's services.
  public var isService: Bool

  /// Root is admin and service whatever is said here.
  public init(userID: UInt32, groupIDs: [UInt32], processID: Int32, role: Role?, isService: Bool) {
    self.userID = userID
    self.groupIDs = groupIDs
    self.processID = processID
    self.role = userID == 0 ? .admin : role
    self.isService = userID == 0 || isService
  }

  /// Root in this process: for calls inside a service and for tests.
  public static var root: Caller { Caller(userID: 0, groupIDs: [0], processID: 0, role: .admin, isService: true) }

  /// Whether a method with that access is open to it.
  public func may(_ access: Access) -> Bool {
    switch access {
    case .anyone: true
    case .viewer: isService || role != nil
    case .operator: isService || (role ?? .viewer) >= .operator
    case .admin: role == .admin
    case .service: isService
    }
  }

  /// What to tell a caller who may not: who it is, and what would help.
  func refusal(of method: String, _ access: Access) -> RPCError {
    let help =
      access == .service
      ? "only services of this host may call it"
      : "ask an administrator to add you to the group ftvs-\(access.rawValue), and log in again"
    return RPCError(
      CommonFailure.forbidden,
      "\(method) needs the role \(access.rawValue), and user \(userID) does not have it: \(help).",
      data: ["method": .string(method), "access": .string(access.rawValue), "userID": .integer(Int64(userID))])
  }
}

/// What a handler knows of a request beside its parameters.
public struct RequestContext: Sendable, Hashable {
  public var caller: Caller
  /// The connection's number; never used again while the process lives.
  public var connection: Int

  public init(caller: Caller, connection: Int) {
    self.caller = caller
    self.connection = connection
  }
}
