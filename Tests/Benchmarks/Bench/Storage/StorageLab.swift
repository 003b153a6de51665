import FTVSClient
import Glibc

/// A host of plain processes with a volume that is served to this user.
final class StorageLab {
  let host: FTVSHost
  private let program: String
  private let directory: String
  private var isUp = true

  /// A flush waits for all that was written before it: on one slow disk for both legs that takes longer than what is given to a leg
  /// of a real host.
  private static let configuration = #"{"legAnswerBoundMilliseconds": 60000}"#

  /// Starts one.
  ///
  /// - Parameter legs: 2, or 1 of which the other is out of service.
  init(binaries: String, in parent: BenchDirectory, name: String, legs: Int) throws {
    program = "\(binaries)/ftctl"
    directory = "\(parent.path)/\(name)"
    _ = try BenchProcess.output(of: ["mkdir", directory])
    _ = try parent.write(Array(Self.configuration.utf8), to: "\(name)/host.json")
    host = FTVSHost(runDirectory: "\(directory)/run")
    _ = try BenchProcess.output(of: [program, "lab", "up", "--directory", directory, "--heartbeat-bound", "10000"])
    if legs == 1 {
      for action in ["offline", "remove"] { try run("module", action, "io1") }
    }
  }

  deinit { stop() }

  func stop() {
    guard isUp else { return }
    isUp = false
    _ = try? BenchProcess.output(of: [program, "lab", "down", "--directory", directory])
  }

  private func run(_ arguments: String...) throws {
    _ = try BenchProcess.output(of: [program] + arguments + ["--run-directory", "\(directory)/run"])
  }

  // MARK: Volumes

  func create(_ volume: VolumeName, sizeBytes: Int64? = nil, image: ImageName? = nil) async throws {
    _ = try await host.storage.call(
      CreateVolume.self, .init(volume: volume, sizeBytes: sizeBytes, image: image), deadline: .seconds(120))
  }

  /// Serves a volume to this user.
  func export(_ volume: VolumeName) async throws -> StorageEndpoint {
    let status = try await host.storage.call(
      ExportVolume.self, .init(volume: volume, clientUserID: Int(geteuid())))
    return StorageEndpoint(socket: status.socketPath, export: status.exportName)
  }

  /// Ends its export and makes the volume an image of the library.
  func promote(_ volume: VolumeName, to image: ImageName) async throws {
    _ = try await host.storage.call(FenceVolume.self, .init(volume: volume))
    _ = try await host.storage.call(
      PromoteVolume.self, .init(volume: volume, image: image), deadline: .seconds(120))
  }

  static func name<Name: UserName>(_ text: String) throws -> Name {
    guard let name = Name(rawValue: text) else { throw BenchError("\(text) is no name.") }
    return name
  }

  // MARK: Processes

  /// The instance of storage that serves.
  func storageProcess() async throws -> Int {
    let services = try await host.hardware.call(GetServices.self).services
    let instances = services.first { $0.service == .storage }?.instances
    guard let process = instances?.first(where: { $0.state == .active })?.processID else {
      throw BenchError("Storage is not active in \(directory).")
    }
    return process
  }

  /// A figure of a file in `/proc`, such as `Rss:` of `smaps_rollup` in kB; the sum of those that begin alike.
  static func figure(_ name: String, of process: Int, in file: String) throws -> Double {
    let text = try BenchProcess.output(of: ["cat", "/proc/\(process)/\(file)"])
    let values = text.split(separator: "\n").filter { $0.hasPrefix(name) }.compactMap { line in
      line.split(separator: " ").dropFirst().first.flatMap { Double($0) }
    }
    guard !values.isEmpty else { throw BenchError("/proc/\(process)/\(file) has no \(name)") }
    return values.reduce(0, +)
  }
}
