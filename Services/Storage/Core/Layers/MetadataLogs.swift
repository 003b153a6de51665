import BlockLayers
import Glibc
import Logging
import Primitives
import VHD

/// The logs of the layers that are open for writing (`MetadataLog`), and those that an earlier instance left: `LAYER.log`
/// in a directory in memory.
///
/// What was left is entered into a layer's file before anything else is done with the file. All functions block.
final class MetadataLogs: @unchecked Sendable {
  // `left` and `settling` are touched only with `monitor` held; the rest is immutable and Sendable.
  private let directory: String?
  private let boot: String
  private let logger: Logger
  private let monitor = Monitor()
  /// Layers with a log that nobody writes.
  private var left: Set<String>
  private var settling: Set<String> = []

  /// - Parameter directory: nil keeps no logs: what was not flushed is lost with the process.
  init(directory: String?, logger: Logger) {
    self.directory = directory
    self.logger = logger
    boot = Self.bootIdentifier()
    if let directory { mkdir(directory, 0o700) }
    left = Set(directory.map(Self.layers) ?? [])
  }

  /// Enters into a layer's file what an earlier process knew of it. Does nothing where there is no log, or it is in use.
  ///
  /// - Throws: also `damaged`, when log and file contradict each other. Both stay as they are then.
  func settle(_ layer: LayerRecord, in file: any ByteFile) throws(BlockError) {
    guard let path = path(layer.id), take(layer.id) else { return }
    do throws(BlockError) {
      if let found = try MetadataLog.read(path: path, boot: boot) {
        try VHDLayer.settle(found, in: file)
        logger.notice(
          "what was not flushed before the last instance ended was entered",
          metadata: ["layer": "\(layer.path)", "records": "\(found.records.count)"])
      }
    } catch {
      putBack(layer.id)
      guard error.kind == .damaged else { throw error }
      throw BlockError(.damaged, "\(error); to go on without what was not flushed, remove \(path) and repeat this")
    }
    unlink(path)
    monitor.locked {
      settling.remove(layer.id)
      monitor.wakeAll()
    }
  }

  /// The log for a layer that is about to be opened for writing, and was settled. Nil where no logs are kept.
  func begin(_ layer: LayerRecord) -> MetadataLog? {
    guard let path = path(layer.id), let uuid = LayerID.bytes(of: layer.id).flatMap({ VHDUUID(bytes: $0) }) else {
      return nil
    }
    let log = MetadataLog(path: path, layer: uuid, boot: boot)
    if !log.canKeep {
      logger.warning("no log can be made, writes that allocate are slow", metadata: ["path": "\(path)"])
    }
    return log
  }

  /// The layer is not written through this log any more. What was not flushed is entered when the layer is opened next.
  func end(_ log: MetadataLog, of layer: LayerRecord) {
    if !log.end() { _ = monitor.locked { left.insert(layer.id) } }
  }

  /// Removes what was left of layers that are no more.
  func removeOthers(than known: Set<String>) {
    for layer in monitor.locked({ left.subtracting(known) }) where take(layer) {
      if let path = path(layer) { unlink(path) }
      monitor.locked {
        settling.remove(layer)
        monitor.wakeAll()
      }
    }
  }

  // MARK: Parts

  /// Takes on what was left of a layer; false where nothing was, or once somebody else has settled it.
  private func take(_ layer: String) -> Bool {
    monitor.locked {
      while settling.contains(layer) { monitor.wait() }
      guard left.remove(layer) != nil else { return false }
      settling.insert(layer)
      return true
    }
  }

  private func putBack(_ layer: String) {
    monitor.locked {
      left.insert(layer)
      settling.remove(layer)
      monitor.wakeAll()
    }
  }

  private func path(_ layer: String) -> String? {
    guard let directory, LayerID.isWellFormed(layer) else { return nil }
    return "\(directory)/\(layer).log"
  }

  private static func layers(in directory: String) -> [String] {
    (LegFiles.names(in: directory) ?? []).filter { $0.hasSuffix(".log") }.map { String($0.dropLast(".log".count)) }
      .filter(LayerID.isWellFormed)
  }

  /// What the kernel draws at each start of the machine.
  private static func bootIdentifier() -> String {
    guard let file = fopen("/proc/sys/kernel/random/boot_id", "re") else { return "" }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count).filter { $0 > 0x20 }, as: UTF8.self)
  }
}
