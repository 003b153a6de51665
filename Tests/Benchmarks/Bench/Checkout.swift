import Foundation

/// Where the sources are: benchmarks use the scripts and units of the checkout that they were built from.
enum Checkout {
  static let top: String = {
    var url = URL(fileURLWithPath: #filePath)
    while url.path != "/", !FileManager.default.fileExists(atPath: url.appendingPathComponent("Package.swift").path) {
      url.deleteLastPathComponent()
    }
    return url.path
  }()
}

/// Runs programs and waits for them.
enum Program {
  struct Failed: Error, CustomStringConvertible {
    var command: String
    var status: Int32
    var description: String { "'\(command)' ended with status \(status); what it said is above" }
  }

  /// Runs a program whose output goes to standard error, or is returned. Throws when its status is not 0.
  @discardableResult
  static func run(_ arguments: String..., environment: [String: String] = [:], capture: Bool = false) throws -> String {
    try run(arguments, environment: environment, capture: capture)
  }

  @discardableResult
  static func run(_ arguments: [String], environment: [String: String] = [:], capture: Bool = false) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = capture ? output : FileHandle.standardError
    try process.run()
    let text = capture ? String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) : ""
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failed(command: arguments.joined(separator: " "), status: process.terminationStatus)
    }
    return text
  }
}
