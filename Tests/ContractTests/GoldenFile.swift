import Foundation
import Testing

/// Files that show a change of the contract in review: the wire is what they say.
enum GoldenFile {
  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Golden")

  /// Compares with the file, or writes it where FTVS_UPDATE_GOLDEN is 1.
  static func check(_ name: String, _ text: String) throws {
    let file = directory.appendingPathComponent(name)
    if ProcessInfo.processInfo.environment["FTVS_UPDATE_GOLDEN"] == "1" {
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
      return
    }
    let golden = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    let old = golden.split(separator: "\n", omittingEmptySubsequences: false)
    let new = text.split(separator: "\n", omittingEmptySubsequences: false)
    let line = zip(old, new).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(old.count, new.count)
    let message = """
      The contract differs from Golden/\(name) from line \(line + 1):
      was: \(old.dropFirst(line).first ?? "")
      is:  \(new.dropFirst(line).first ?? "")
      Where that is meant, and no break for clients, run the tests with FTVS_UPDATE_GOLDEN=1 and commit the file.
      """
    #expect(golden == text, Comment(rawValue: message))
  }
}
