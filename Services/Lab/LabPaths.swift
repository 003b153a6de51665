import HostConfiguration
import Primitives

/// Where the parts of a lab are inside its directory.
public struct LabPaths: Sendable, Equatable {
  /// Longest directory: its longest socket, `run/guest/63/cpu0.console`, must fit into the 107 bytes of a Unix address.
  public static let longestDirectory = 107 - "/run/guest/63/cpu0.console".utf8.count

  public let directory: String

  public init(directory: String) { self.directory = directory }

  /// Sockets, leases, shot marks: what a reboot of the host would clear.
  public var run: String { "\(directory)/run" }
  /// The host's configuration, as the services read it.
  public var configuration: String { "\(directory)/host.json" }
  /// Output of the units, one file each.
  public var log: String { "\(directory)/log" }
  /// The lock that a running lab holds.
  public var lock: String { "\(directory)/lock" }
  /// The processes that the running lab started, for whoever cleans up after a crash.
  public var processes: String { "\(directory)/processes" }
  /// The lab's own socket.
  public var socket: String { "\(run)/lab.sock" }
  /// Where the units report that they are ready.
  public var notify: String { "\(run)/notify.sock" }

  /// The output of one unit.
  public func log(of unit: String) -> String { "\(log)/\(unit).log" }

  /// The paths of the host that runs in this lab.
  public var host: HostPaths {
    var configuration = HostConfiguration()
    apply(to: &configuration)
    return HostPaths(configuration)
  }

  /// Writes this lab's places into a configuration, leaving the rest of it as it is.
  func apply(to configuration: inout HostConfiguration) {
    configuration.runDirectory = run
    configuration.legIO0 = "\(directory)/legs/io0"
    configuration.legIO1 = "\(directory)/legs/io1"
    configuration.localDirectory = "\(directory)/local"
    configuration.labSocket = socket
  }
}
