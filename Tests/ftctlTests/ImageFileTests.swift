import Foundation
import Testing

@testable import ftctl

@Suite("Files to upload")
struct ImageFileTests {
  private func file(_ bytes: [UInt8]) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  @Test("A file whose size is no whole sector is filled with zeros")
  func sectors() throws {
    let path = try file([UInt8](repeating: 7, count: 700))
    defer { unlink(path) }
    let image = try RawImageFile(path)
    #expect(image.volumeBytes == 1024)
    let tail = try image.chunk(at: 512, count: 4096)
    #expect(tail == [UInt8](repeating: 7, count: 188) + [UInt8](repeating: 0, count: 324))
  }

  @Test("Other formats are refused with the command that converts them")
  func formats() throws {
    let path = try file([0x51, 0x46, 0x49, 0xFB] + [UInt8](repeating: 0, count: 600))
    defer { unlink(path) }
    let error = #expect(throws: Complaint.self) { try RawImageFile(path) }
    #expect(error?.text.contains("qcow2") == true && error?.text.contains("qemu-img convert") == true)
    #expect(error?.exit == .noInput)
  }

  @Test("What is neither file nor disk is refused", arguments: ["/", "/dev/null", "/dev/zero", "/proc"])
  func noFile(path: String) throws {
    let error = #expect(throws: Complaint.self) { try RawImageFile(path) }
    #expect(error?.exit == .noInput)
    #expect(error?.text.contains("no file or disk") == true)
  }

  @Test("An empty or missing file is refused")
  func missing() throws {
    let path = try file([])
    defer { unlink(path) }
    #expect(throws: Complaint.self) { try RawImageFile(path) }
    #expect(throws: Complaint.self) { try RawImageFile("/nonexistent/disk") }
  }
}
