import Foundation

/// Definitions of virtual machines.
enum GuestDefinition {
  /// The counting guest of `deploy/guest`.
  static func counting(boot: String, port: Int) throws -> String {
    try String(contentsOfFile: "\(Checkout.top)/deploy/guest/domain.xml", encoding: .utf8)
      .replacingOccurrences(of: "@TYPE@", with: "qemu")
      .replacingOccurrences(of: "@BOOT@", with: boot)
      .replacingOccurrences(of: "@PORT@", with: "\(port)")
  }

  /// A machine that is defined and never started.
  static func idle(name: String) -> String {
    """
    <domain type='qemu'><name>\(name)</name><memory unit='MiB'>64</memory>\
    <os><type arch='x86_64'>hvm</type></os><devices/></domain>
    """
  }
}
