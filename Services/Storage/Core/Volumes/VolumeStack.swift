import BlockLayers
import VHD

/// The open layers of a volume.
final class VolumeStack: Sendable {
  /// What clients read and write.
  let top: any BlockDevice
  /// What changes since the volume's newest checkpoint is noted here, where it has one.
  let tracker: ChangeTracker?
  private let opened: [OpenLayer]

  /// `opened` are the layers, topmost first.
  init(top: any BlockDevice, opened: [OpenLayer], tracker: ChangeTracker? = nil) {
    self.top = tracker.map { TrackedDevice(top, tracker: $0) } ?? top
    self.tracker = tracker
    self.opened = opened
  }

  /// Gives the files back; nothing may have been written since the last flush. Blocks.
  func closeFlushed() { for layer in opened { layer.close() } }

  /// Makes durable what was written, and gives the files back, even where that fails. Blocks.
  func close() throws(BlockError) {
    var failure: BlockError?
    do throws(BlockError) { try top.flush() } catch { failure = error }
    for layer in opened { layer.close() }
    if let failure { throw failure }
  }
}

/// One open layer: what the format makes of its file.
struct OpenLayer: Sendable {
  var record: LayerRecord
  var device: VHDLayer
  var legs: DataLegs
  var logs: MetadataLogs

  /// Gives the file back. Does not flush. (Closing the device would close the file for others that use it, too.)
  func close() {
    if let log = device.log { logs.end(log, of: record) }
    legs.close(record)
  }
}
