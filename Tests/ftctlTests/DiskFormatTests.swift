import Foundation
import Testing

@testable import ftctl

@Suite("Formats of disk image files") struct DiskFormatTests {
  private static func head(_ parts: (Int, [UInt8])..., tail: [UInt8] = []) -> DiskFileHead {
    var bytes = [UInt8](repeating: 0, count: DiskFileHead.headBytes)
    for (offset, part) in parts { bytes.replaceSubrange(offset..<offset + part.count, with: part) }
    return DiskFileHead(head: bytes, tail: tail.isEmpty ? [UInt8](repeating: 0, count: 512) : tail)
  }

  /// A VHD's footer of a type, with its checksum.
  private static func footer(type: UInt8) -> [UInt8] {
    var bytes = Array("conectix".utf8) + [UInt8](repeating: 0, count: 504)
    bytes[63] = type
    let sum = ~bytes.reduce(UInt32(0)) { $0 &+ UInt32($1) }
    bytes.replaceSubrange(64..<68, with: (0..<4).map { UInt8(truncatingIfNeeded: sum >> (24 - 8 * $0)) })
    return bytes
  }

  private static let qcow2: [UInt8] = [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3]

  @Test func `the first bytes tell the format, a footer tells a fixed VHD, and all else is raw`() throws {
    #expect(try Self.head((0, Self.qcow2)).format() == .qcow2)
    #expect(try Self.head((0, Array("KDMV".utf8))).format() == .vmdk)
    #expect(try Self.head((0, Array("vhdxfile".utf8))).format() == .vhdx)
    #expect(try Self.head((0, Array("conectix".utf8))).format() == .vhd)
    #expect(try Self.head(tail: Self.footer(type: 2)).format() == .vhd)
    #expect(try Self.head((510, [0x55, 0xAA])).format() == .raw)
    var damaged = Self.footer(type: 2)
    damaged[100] = 1
    #expect(try Self.head(tail: damaged).format() == .raw)
    #expect(try DiskFileHead(head: [1], tail: [1]).format() == .raw)
  }

  @Test func `what is packed, or of another format, is named`() {
    #expect(throws: DiskFormatProblem.packed("gzip")) { try Self.head((0, [0x1F, 0x8B, 0x08])).format() }
    #expect(throws: DiskFormatProblem.packed("tar (or OVA)")) {
      try Self.head((257, Array("ustar".utf8))).format()
    }
    #expect(throws: DiskFormatProblem.unknown("a VDI image")) {
      try Self.head((64, [0x7F, 0x10, 0xDA, 0xBE])).format()
    }
    #expect(throws: DiskFormatProblem.unknown("a qcow (version 1) image")) {
      try Self.head((0, [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 1])).format()
    }
    #expect(throws: DiskFormatProblem.external("a VMDK descriptor")) {
      try Self.head((0, Array("# Disk DescriptorFile".utf8))).format()
    }
  }

  @Test func `what is in other files, too, is refused before anything opens them`() throws {
    let refused: [(DiskFormat, DiskFileHead)] = [
      (.qcow2, Self.head((0, Self.qcow2), (15, [1]))), (.qcow2, Self.head((0, Self.qcow2), (79, [4]))),
      (.vmdk, Self.head((0, Array("KDMV".utf8)))), (.vhd, Self.head(tail: Self.footer(type: 4))),
    ]
    for (format, head) in refused {
      let problem = #expect(throws: DiskFormatProblem.self) { try head.requireWhole(format) }
      guard case .external = problem else {
        Issue.record("\(format): \(String(describing: problem))")
        continue
      }
    }
    #expect(throws: DiskFormatProblem.truncated) { try Self.head((0, Array("conectix".utf8))).requireWhole(.vhd) }
    try Self.head((0, Self.qcow2)).requireWhole(.qcow2)
    try Self.head(tail: Self.footer(type: 3)).requireWhole(.vhd)
    try Self.head((0, Self.qcow2), (15, [1])).requireWhole(.raw)
  }

  @Test func `a path with a comma stays one part of what qemu-img is told`() {
    #expect(
      QEMUSource.file("/a,b", .vhd).options == "driver=vpc,file.driver=file,file.filename=/a,,b")
  }

  @Test func `progress is read off what qemu-img prints`() {
    #expect(QEMUImage.part("    (1.00/100%)\r    (12.50/100%)\r") == 0.125)
    #expect(QEMUImage.part("    (") == nil)
    #expect(QEMUImage.part("Images are identical.") == nil)
  }

  @Test func `the formats' names are those that operators and qemu-img use`() {
    #expect(DiskFormat(argument: "vpc") == .vhd)
    #expect(DiskFormat(argument: "VMDK") == .vmdk)
    #expect(DiskFormat(argument: "iso") == nil)
  }
}

@Suite("Places of exports") struct ExportPlaceTests {
  private func directory() throws -> String {
    var template = Array("/tmp/ftvs-place-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  @Test func `two exports to one file exclude each other`() throws {
    let directory = try directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let first = try ExportPlace("\(directory)/out", force: false)
    let error = #expect(throws: Complaint.self) { try ExportPlace("\(directory)/out", force: false) }
    #expect(error?.text.contains("under way") == true)
    first.removePart()
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
  }

  @Test func `a part directory that others can change is not used`() throws {
    let directory = try directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    #expect(mkdir("\(directory)/out.part", 0o700) == 0 && chmod("\(directory)/out.part", 0o777) == 0)
    let error = #expect(throws: Complaint.self) { try ExportPlace("\(directory)/out", force: false) }
    #expect(error?.text.contains("others can change it") == true)
  }

  @Test func `a file that came to be meanwhile is kept`() throws {
    let directory = try directory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let place = try ExportPlace("\(directory)/out", force: false)
    try Data("new".utf8).write(to: URL(fileURLWithPath: place.part))
    try Data("mine".utf8).write(to: URL(fileURLWithPath: place.path))
    #expect(throws: Complaint.self) { try place.finish() }
    #expect(try String(contentsOfFile: place.path, encoding: .utf8) == "mine")
    place.removePart()
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["out"])
  }
}
