import AlertAPI
import DaemonKit
import Dispatch
import FTVSClient
import Glibc
import HardwareSupervisorCore
import HostConfiguration
import Primitives
import RPC
import ServiceAPI

/// Alerts by way of the service's spool.
struct PublishedAlerts: AlertSink {
  let publisher: AlertPublisher

  func publish(_ severity: Severity, kind: String, subject: String, message: String, data: [String: JSONValue]) {
    publisher.publish(severity, kind: kind, subject: subject, message: message, data: data)
  }
}

/// Legs as `service.status` of each service tells them.
struct ServiceLegs: LegProbe {
  let host: Host
  /// A service that fails over answers well within it.
  static let deadline = Duration.seconds(1)

  func legs(of service: ServiceName) async -> [LegStatus]? {
    try? await host[service].call(GetServiceStatus.self, Nothing(), deadline: Self.deadline).legs
  }

  func check(by service: ServiceName) async {
    // One that does not hear of it tries again by itself, later.
    _ = try? await host[service].call(CheckLegs.self, Nothing(), deadline: Self.deadline)
  }
}

/// Leases as their files tell them, read on a queue of their own.
struct LeaseFiles: LeaseReader {
  let paths: HostPaths
  private let queue = DispatchQueue(label: "ftvs.leases")

  init(paths: HostPaths) { self.paths = paths }

  func holder(of service: ServiceName) async -> Int32? {
    let path = paths.lease(service)
    return await withCheckedContinuation { continuation in
      queue.async {
        continuation.resume(returning: Lease.holder(path: path).flatMap { Int32(exactly: $0.processID) })
      }
    }
  }
}

/// Names this start of the host: the kernel's, and that of the process that started this one, systemd or the lab.
func hostStart() -> String {
  let parent = getppid()
  let boot = line("/proc/sys/kernel/random/boot_id")
  // proc_pid_stat(5): the name in parentheses may hold anything; the start time is the 20th field after it.
  let fields = line("/proc/\(parent)/stat").split(separator: ")").last?.split(separator: " ") ?? []
  return "\(boot) \(parent) \(fields.count > 19 ? String(fields[19]) : "")"
}

/// The first line of a small file, or nothing.
private func line(_ path: String) -> String {
  guard let file = fopen(path, "re") else { return "" }
  defer { fclose(file) }
  var buffer = [CChar](repeating: 0, count: 4096)
  guard fgets(&buffer, Int32(buffer.count), file) != nil else { return "" }
  let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
  return String(decoding: bytes, as: UTF8.self)
}

/// Whether a process exists, whoever's it is.
func processExists(_ process: Int32) -> Bool { process > 0 && (kill(process, 0) == 0 || errno != ESRCH) }

/// Whether a thread of that process, or another one of this, is ready to run or waits for a disk: asked while nothing was heard
/// of it, that means that the host keeps it from running.
func waitsForProcessor(_ process: Int32?) -> Bool {
  isReady("/proc/self/task", except: ownThread()) || process.map { isReady("/proc/\($0)/task", except: "") } ?? false
}

/// The number of the calling thread; `/proc/thread-self` is a link to `PROCESS/task/THREAD`.
private func ownThread() -> String {
  var buffer = [CChar](repeating: 0, count: 64)
  let count = readlink("/proc/thread-self", &buffer, buffer.count)
  return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
    separator: "/"
  ).last.map(String.init) ?? ""
}

/// Whether a thread in that directory is runnable (R) or waits for a disk (D): proc_pid_stat(5).
private func isReady(_ directory: String, except: String) -> Bool {
  guard let threads = opendir(directory) else { return false }
  defer { closedir(threads) }
  while let entry = readdir(threads) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    guard name != except, Int32(name) != nil else { continue }
    let state = line("\(directory)/\(name)/stat").split(separator: ")").last?.dropFirst().first
    if state == "R" || state == "D" { return true }
  }
  return false
}
