import Foundation

/// Runs the inside part of a suite on a host that is installed on a sandboxed, real systemd.
struct Sandbox {
  let options: BenchOptions

  /// What the suite's inside part found. Needs root.
  ///
  /// - Parameters:
  ///   - units: A directory of further units for the sandbox.
  ///   - extra: Files and directories that are seen in the sandbox, too.
  func run(
    _ suite: InstalledSuite, count: Int, units: String? = nil, extra: [String] = []
  ) throws -> Measurements {
    guard geteuid() == 0 else {
      throw InstalledHost.Complaint(description: "\(suite.rawValue) needs root: a systemd is started for it")
    }
    let work = try Program.run("mktemp", "-d", "/var/tmp/ftvs-bench.XXXXXX", capture: true).trimmed
    defer { try? FileManager.default.removeItem(atPath: work) }
    try Program.run("chmod", "755", work)
    let binaries = try programs(in: work)
    let guest = try guestDirectory()
    let result = "\(work)/result.json"
    let system = "\(Checkout.top)/Tests/SystemTests"
    try Program.run(
      [
        "\(system)/with-systemd.sh", units ?? "-", "\(system)/installed.sh", binaries,
        CommandLine.arguments[0].absolute,
        "inside", suite.rawValue, "--count", "\(count)", "--guest", guest, "--result", result,
      ], environment: ["SDNS_BIND": ([work] + extra).joined(separator: " ")])
    return try Measurements.read(from: result)
  }

  /// The programs under test, where the sandboxed units may look.
  private func programs(in work: String) throws -> String {
    let copy = "\(work)/binaries"
    let source = try options.binaries ?? Self.build()
    try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
    for name in ["ftctl", "ftvs-hardware", "ftvs-vm", "ftvs-storage", "ftvs-alerts", "ftvs-module", "ftvs-guest"] {
      try FileManager.default.copyItem(atPath: "\(source.absolute)/\(name)", toPath: "\(copy)/\(name)")
    }
    return copy
  }

  /// As `deploy/install` builds them.
  static func build() throws -> String {
    let build = ["swift", "build", "--package-path", Checkout.top, "-c", "release", "--static-swift-stdlib"]
    try Program.run(build + ["-q"])
    return try Program.run(build + ["--show-bin-path"], capture: true).trimmed
  }

  private func guestDirectory() throws -> String {
    if let guest = options.guest { return guest.absolute }
    let directory = "/var/tmp/ftvs-bench-guest"
    try Program.run("\(Checkout.top)/deploy/guest/build", directory)
    return directory
  }
}

extension String {
  var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
  var absolute: String { URL(fileURLWithPath: self).standardizedFileURL.path }
}
