/// Reads `<channel>`: the one of the guest's agent.
enum ChannelReader {
  /// The name under which QEMU's guest agent looks for its channel (QEMU, docs/interop/qemu-ga.rst).
  static let agent = "org.qemu.guest_agent.0"

  /// Whether there is a channel to a guest agent. Where its socket is, is the host's affair: a `<source>` is refused.
  static func hasGuestAgent(_ devices: Scan) throws(DomainError) -> Bool {
    guard let channel = try devices.child("channel") else { return false }
    try channel.allow(attributes: ["type"], children: ["target"])
    try channel.choice("type", ["unix"])
    guard let target = try channel.child("target") else { throw channel.error("<target> is missing") }
    try target.allow(attributes: ["type", "name"])
    _ = try target.required("type")
    try target.choice("type", ["virtio"])
    _ = try target.required("name")
    try target.choice("name", [agent])
    return true
  }
}
