import HostConfiguration
import Primitives

/// The files of one guest on one module.
struct GuestFiles: Sendable, Equatable {
  let directory: String
  private let stem: String

  init(_ paths: HostPaths, slot: Int, module: ModuleID) {
    directory = paths.guest(slot: slot)
    stem = "\(paths.guest(slot: slot))/\(module.rawValue)"
  }

  /// What `ftvs-guest` runs.
  var arguments: String { "\(stem).args" }
  /// QEMU's control socket.
  var control: String { "\(stem).qmp" }
  /// The socket of the serial console.
  var console: String { "\(stem).console" }
  /// The socket of the screen (VNC).
  var screen: String { "\(stem).vnc" }
  /// The socket of the channel to the guest's agent.
  var agent: String { "\(stem).agent" }
  /// The guest's memory where it is shared: one file of both modules.
  var memory: String { "\(directory)/memory" }
  /// Written by QEMU when it is up and removed by it when it ends in good order.
  var process: String { "\(stem).pid" }
}
