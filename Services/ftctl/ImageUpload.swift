import FTVSClient
import FoundationEssentials
import Glibc
import Primitives
import RPC

/// Uploads a raw disk image into a volume and makes that an image of the library.
struct ImageUpload: Sendable {
  let session: Session
  let image: ImageName
  private let file: RawImageFile
  /// Where the bytes go until they are complete.
  private let volume: VolumeName

  /// Bytes of one request, and requests in flight: enough to keep both legs busy, little to repeat after a failover.
  private static let chunkBytes = 1 << 20
  private static let requestsInFlight = 4

  init(session: Session, image: ImageName, file path: String) throws {
    self.session = session
    self.image = image
    file = try RawImageFile(path)
    volume = VolumeName(unchecked: image.rawValue.prefix(63 - ".upload".count) + ".upload")
  }

  func run(description: String?, restart: Bool) async throws -> ImageStatus {
    if try await session.call(ListImages.self, Nothing(), on: .storage).images.contains(where: { $0.image == image }) {
      throw Complaint(
        "The library has an image \(image) already: choose another name, or ftctl library delete \(image).")
    }
    if restart { _ = try await session.call(DeleteVolume.self, .init(volume: volume), on: .storage) }
    try await create()
    let cleaner = InterruptGuard { [session, volume] in await Self.delete(volume, session) }
    defer { cleaner.disarm() }
    do {
      try await upload()
      let params = PromoteVolume.Params(volume: volume, image: image, description: description)
      return try await session.call(PromoteVolume.self, params, on: .storage)
    } catch {
      await Self.delete(volume, session)
      throw error
    }
  }

  private func create() async throws {
    do throws(RPCError) {
      let params = CreateVolume.Params(volume: volume, sizeBytes: file.volumeBytes)
      _ = try await session.call(CreateVolume.self, params, on: .storage)
    } catch {
      guard error.matches(StorageFailure.volumeExists) else { throw error }
      throw Complaint(
        """
        An upload of \(image) is under way or was cut: the volume \(volume) exists.
        When nobody uploads it now, repeat the command with --restart.
        """)
    }
  }

  private static func delete(_ volume: VolumeName, _ session: Session) async {
    _ = try? await session.call(DeleteVolume.self, .init(volume: volume), on: .storage)
  }

  private func upload() async throws {
    let progress = Progress()
    defer { progress.clear() }
    try await withThrowingTaskGroup(of: Int64.self) { tasks in
      var done: Int64 = 0
      var inFlight = 0
      func finishOne() async throws {
        guard let count = try await tasks.next() else { return }
        inFlight -= 1
        done += count
        progress.show("Uploading \(image)", done: done, of: file.volumeBytes)
      }
      for offset in stride(from: 0, to: file.volumeBytes, by: Self.chunkBytes) {
        let bytes = try file.chunk(at: offset, count: Self.chunkBytes)
        // A new volume reads as zeros.
        if bytes.allSatisfy({ $0 == 0 }) {
          done += Int64(bytes.count)
          continue
        }
        if inFlight == Self.requestsInFlight { try await finishOne() }
        let params = WriteVolume.Params(volume: volume, offsetBytes: offset, data: Data(bytes).base64EncodedString())
        tasks.addTask { [session] in
          _ = try await session.call(WriteVolume.self, params, on: .storage)
          return Int64(bytes.count)
        }
        inFlight += 1
      }
      while inFlight > 0 { try await finishOne() }
    }
  }
}

/// A raw disk image on this machine.
final class RawImageFile: Sendable {
  private let path: String
  private let descriptor: Int32
  private let bytes: Int64
  /// The file's size, up to a whole sector.
  let volumeBytes: Int64

  private static let sector: Int64 = 512

  init(_ path: String) throws(Complaint) {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw InputFile.unreadable(path) }
    bytes = Self.length(of: descriptor)
    volumeBytes = (max(0, bytes) + Self.sector - 1) / Self.sector * Self.sector
    guard bytes > 0 else {
      throw Complaint(bytes == 0 ? "\(path) is empty." : "\(path) has no size: it is no file or disk.", .noInput)
    }
    if let format = Self.format(of: try chunk(at: 0, count: 512)) {
      throw Complaint(
        "\(path) is a \(format) image, and a raw one is needed: qemu-img convert -O raw \(path) NEW.", .noInput)
    }
  }

  deinit { close(descriptor) }

  /// Bytes from an offset on, filled with zeros to the end of the last sector.
  func chunk(at offset: Int64, count: Int) throws(Complaint) -> [UInt8] {
    let wanted = Int(min(Int64(count), volumeBytes - offset))
    var chunk = [UInt8](repeating: 0, count: max(0, wanted))
    var filled = 0
    while filled < chunk.count {
      let read = chunk.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress?.advanced(by: filled), $0.count - filled, off_t(offset) + off_t(filled))
      }
      if read < 0 && errno == EINTR { continue }
      guard read >= 0 else { throw InputFile.unreadable(path) }
      if read == 0 { break }
      filled += read
    }
    return chunk
  }

  /// Bytes of a file or disk; negative for what is neither. The end of a directory is wherever its file system says.
  private static func length(of descriptor: Int32) -> Int64 {
    var facts = stat()
    guard fstat(descriptor, &facts) == 0, [S_IFREG, S_IFBLK].contains(facts.st_mode & S_IFMT) else { return -1 }
    return min(Int64(lseek(descriptor, 0, SEEK_END)), .max - sector)
  }

  /// The format that the first bytes announce, when it is not raw.
  static func format(of head: [UInt8]) -> String? {
    let known: [(String, [UInt8])] = [
      ("qcow2", [0x51, 0x46, 0x49, 0xFB]), ("VMDK", Array("KDMV".utf8)), ("VHDX", Array("vhdxfile".utf8)),
      ("VHD", Array("conectix".utf8)), ("gzip", [0x1F, 0x8B]), ("xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A]),
      ("zstd", [0x28, 0xB5, 0x2F, 0xFD]),
    ]
    return known.first { head.starts(with: $0.1) }?.0
  }
}
