import Foundation
import Synchronization
import Testing

/// A directory of one test's, removed with it.
final class Folder: Sendable {
  let path: String

  init() throws {
    path = "/tmp/ftvs-kit-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
  }

  func makeDirectory(_ name: String) throws {
    try FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
  }

  func move(_ name: String, to other: String) throws {
    try #require(rename("\(path)/\(name)", "\(path)/\(other)") == 0)
  }

  /// Names of what is in it, without those that begin with a dot.
  func names(_ name: String) -> [String] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\(name)")) ?? []
    return all.filter { !$0.hasPrefix(".") }.sorted()
  }
}

/// Notes what happens, in order.
final class Recorder: Sendable {
  private let noted = Mutex<[String]>([])

  var entries: [String] { noted.withLock { $0 } }

  func append(_ entry: String) { noted.withLock { $0.append(entry) } }
}
