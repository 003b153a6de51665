import Primitives
import RPC

/// What differs from host to host: where things are, and a few bounds.
///
/// A JSON file, `/etc/ftvs/host.json` or the one that `FTVS_CONFIGURATION` names; each member may be left out.
public struct HostConfiguration: WireObject, Equatable {
  /// Directory of the sockets, leases and shot marks.
  public var runDirectory: String?
  /// Directory of the copy of the data on I/O module 0.
  public var legIO0: String?
  /// Directory of the copy of the data on I/O module 1.
  public var legIO1: String?
  /// Directory of the copy on I/O module 0 by its second path; `legIO0` where it is the same.
  public var secondPathIO0: String?
  /// Directory of the copy on I/O module 1 by its second path; `legIO1` where it is the same.
  public var secondPathIO1: String?
  /// Directory of what is kept outside the legs: membership witnesses and alert spools.
  public var localDirectory: String?
  /// Silence of a module's agent after which the module counts as failed, in milliseconds.
  public var heartbeatBoundMilliseconds: Int?
  /// How long one unit of a module may take to run before the module counts as broken, in milliseconds.
  public var unitStartBoundMilliseconds: Int?
  /// How long a virtual machine's process may take for an answer before it counts as failed, in milliseconds.
  public var guestAnswerBoundMilliseconds: Int?
  /// How often a virtual machine may fail by itself within the quarantine's window before it is no longer restarted; 0: always.
  public var quarantineFailures: Int?
  /// The quarantine's window, in seconds.
  public var quarantineWindowSeconds: Int?
  /// Time within which a leg must answer, in milliseconds.
  public var legAnswerBoundMilliseconds: Int?
  /// Socket of the lab that stands in for systemd; left out where systemd runs the host.
  public var labSocket: String?
  /// Program that runs virtual machines.
  public var qemuProgram: String?
  /// Memory and processor accelerator of virtual machines: `kvm`, `tcg`, or left out to take the best there is.
  public var accelerator: String?
  /// Least level that is logged: `trace`, `debug`, `info`, `notice`, `warning`, `error`; read anew at SIGHUP.
  public var logLevel: String?

  public enum CodingKeys: CodingKey, CaseIterable {
    case runDirectory, legIO0, legIO1, secondPathIO0, secondPathIO1, localDirectory, heartbeatBoundMilliseconds,
      unitStartBoundMilliseconds, guestAnswerBoundMilliseconds, quarantineFailures, quarantineWindowSeconds,
      legAnswerBoundMilliseconds, labSocket, qemuProgram,
      accelerator, logLevel
  }

  public static func field(_ key: CodingKeys) -> Field<HostConfiguration> {
    switch key {
    case .runDirectory: Field(\.runDirectory, "Directory of the sockets, leases and shot marks.")
    case .legIO0: Field(\.legIO0, "Directory of the copy of the data on I/O module 0.")
    case .legIO1: Field(\.legIO1, "Directory of the copy of the data on I/O module 1.")
    case .secondPathIO0:
      Field(
        \.secondPathIO0,
        "Directory of the copy of the data on I/O module 0 by its second path; legIO0 when left out. Both lead to the same "
          + "files of the same mounted file system.")
    case .secondPathIO1:
      Field(\.secondPathIO1, "The same for I/O module 1; legIO1 when left out.")
    case .localDirectory:
      Field(\.localDirectory, "Directory of what is kept outside the legs: membership witnesses and alert spools.")
    case .heartbeatBoundMilliseconds:
      Field(
        \.heartbeatBoundMilliseconds,
        "Silence of a module's agent after which the module counts as failed, in milliseconds; 100 when left out.",
        in: 20...60_000)
    case .unitStartBoundMilliseconds:
      Field(
        \.unitStartBoundMilliseconds,
        "How long one unit of a module may take to run before the module counts as broken, in milliseconds; 20,000 when "
          + "left out. More for an emulated host.",
        in: 1_000...600_000)
    case .guestAnswerBoundMilliseconds:
      Field(
        \.guestAnswerBoundMilliseconds,
        "How long a virtual machine's process may take for an answer before it counts as failed, in milliseconds; 15,000 "
          + "when left out. More for an emulated host.",
        in: 1_000...600_000)
    case .quarantineFailures:
      Field(
        \.quarantineFailures,
        "How often a virtual machine may fail by itself within the quarantine's window before it is no longer restarted; 6 "
          + "when left out, 0 restarts it always.",
        in: 0...1000)
    case .quarantineWindowSeconds:
      Field(
        \.quarantineWindowSeconds, "The quarantine's window, in seconds; 180 when left out.", in: 1...86_400)
    case .legAnswerBoundMilliseconds:
      Field(
        \.legAnswerBoundMilliseconds,
        "Time within which a leg must answer, in milliseconds; 3,000 when left out. One that does not is dropped, like one "
          + "that answers with an error.",
        in: 100...60_000)
    case .labSocket: Field(\.labSocket, "Socket of the lab that stands in for systemd.")
    case .qemuProgram: Field(\.qemuProgram, "Program that runs virtual machines.")
    case .accelerator: Field(\.accelerator, "Accelerator of virtual machines: kvm, tcg, or the best there is.")
    case .logLevel: Field(\.logLevel, "Least level that is logged: trace, debug, info, notice, warning or error.")
    }
  }

  public init() {}

  /// Time within which a leg must answer.
  public var legAnswerBound: Duration { .milliseconds(legAnswerBoundMilliseconds ?? 3000) }
}

/// The paths of a host, derived from its configuration.
public struct HostPaths: Sendable, Equatable {
  /// Sockets, leases, shot marks: `/run/ftvs`.
  public let run: String
  /// Directory of each leg: `/var/lib/ftvs/io0` and `/var/lib/ftvs/io1`.
  public let legs: [LegID: String]
  /// The same by the second path of each leg.
  public let secondPaths: [LegID: String]
  /// What is kept outside the legs: `/var/lib/ftvs/local`.
  public let local: String

  public init(_ configuration: HostConfiguration = HostConfiguration()) {
    run = configuration.runDirectory ?? "/run/ftvs"
    legs = [
      .io0: configuration.legIO0 ?? "/var/lib/ftvs/io0",
      .io1: configuration.legIO1 ?? "/var/lib/ftvs/io1",
    ]
    secondPaths = [
      .io0: configuration.secondPathIO0 ?? legs[.io0] ?? "", .io1: configuration.secondPathIO1 ?? legs[.io1] ?? "",
    ]
    local = configuration.localDirectory ?? "/var/lib/ftvs/local"
  }

  /// The socket on which a service answers.
  public func socket(_ service: ServiceName) -> String { "\(run)/\(service.rawValue).sock" }
  /// The socket of the NBD server.
  public var nbdSocket: String { "\(run)/nbd.sock" }
  /// The file whose lock makes an instance active.
  public func lease(_ service: ServiceName) -> String { "\(run)/lease/\(service.rawValue)" }
  /// The file that keeps a module dead while it exists.
  public func shotMark(_ module: ModuleID) -> String { "\(run)/shot/\(module.rawValue)" }
  /// Directory in memory of what storage has not written yet of the structure of layers.
  public var metadataLogs: String { "\(run)/metadata" }
  /// The file that cuts a path to a leg while it exists; `path` is 0 or 1.
  public func pathMark(_ leg: LegID, _ path: Int) -> String { "\(run)/path/\(leg.rawValue).\(path)" }
  /// Directory of a guest's sockets and arguments; `slot` is the instance name of its units.
  public func guest(slot: Int) -> String { "\(run)/guest/\(slot)" }
  /// Directory of a service's state on a leg: `LEG/storage`.
  public func state(_ service: ServiceName, on leg: LegID) -> String { "\(legs[leg] ?? "")/\(service.rawValue)" }
  /// The same by the leg's second path.
  public func secondState(_ service: ServiceName, on leg: LegID) -> String {
    "\(secondPaths[leg] ?? "")/\(service.rawValue)"
  }
  /// The record that tells which leg was last in service, kept outside the legs.
  public func witness(_ service: ServiceName) -> String { "\(local)/\(service.rawValue)/witness.json" }
  /// Directory in which a service keeps alerts while the alert bus is away.
  public func spool(_ service: ServiceName) -> String { "\(local)/\(service.rawValue)/spool" }
}
