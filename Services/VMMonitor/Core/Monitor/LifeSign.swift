import HostConfiguration

/// When the monitor last watched over the guests: where a guest is found dead by whoever takes over, its outage counts
/// from here.
///
/// A small file outside the legs, not forced to disk: after a power cut it may be some seconds old, which lengthens
/// the outage and never shortens it.
struct LifeSign: Sendable {
  private let path: String
  private let queue = BlockingQueue("life sign")

  init(_ paths: HostPaths) { path = "\(paths.local)/vm/lifeSign" }

  func write(_ milliseconds: Int64) async {
    await queue.run { [path] in
      try? FileSystem.makeDirectory(FileSystem.parent(of: path), mode: 0o700)
      try? FileSystem.replace(path, with: Array("\(milliseconds)\n".utf8), mode: 0o600, durable: false)
    }
  }

  func read() async -> Int64? {
    await queue.run { [path] in
      FileSystem.read(path, limit: 64).flatMap { Int64(String(decoding: $0.filter { $0 != 0x0A }, as: UTF8.self)) }
    }
  }
}
