import Glibc

/// A control group of the unified hierarchy: cgroups(7).
public enum ControlGroup {
  /// Where the hierarchy is mounted.
  public static let root = "/sys/fs/cgroup"

  /// Whether no process is left in a group and those below it. A group that does not exist is empty. Nil when the kernel does
  /// not say.
  public static func isEmpty(_ path: String, root: String = root) -> Bool? {
    guard path.hasPrefix("/"), path != "/" else { return path.isEmpty ? true : nil }
    let descriptor = open("\(root)\(path)/cgroup.events", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return errno == ENOENT || errno == ENODEV ? true : nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = read(descriptor, &buffer, buffer.count)
    // The group was removed between the two calls.
    if count < 0 { return errno == ENODEV ? true : nil }
    let lines = String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n")
    guard let populated = lines.first(where: { $0.hasPrefix("populated ") }) else { return nil }
    return populated == "populated 0"
  }
}
