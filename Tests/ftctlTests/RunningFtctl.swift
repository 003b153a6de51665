import Foundation

/// A run of ftctl that is talked to while it lasts.
final class RunningFtctl: Sendable {
  /// What it prints, as it comes.
  let output: AsyncStream<String>
  private let process: Process
  private let input: Pipe
  private let end: AsyncStream<Int32>

  init(_ arguments: [String], _ environment: [String: String], program: URL) throws {
    let process = Process()
    let (input, printed) = (Pipe(), Pipe())
    process.executableURL = program
    process.arguments = arguments
    process.environment = environment
    (process.standardInput, process.standardOutput, process.standardError) = (input, printed, FileHandle.nullDevice)
    let (output, outputContinuation) = AsyncStream.makeStream(of: String.self)
    printed.fileHandleForReading.readabilityHandler = { handle in
      let data = handle.availableData
      if data.isEmpty {
        handle.readabilityHandler = nil
        outputContinuation.finish()
      } else {
        outputContinuation.yield(String(decoding: data, as: UTF8.self))
      }
    }
    let (end, endContinuation) = AsyncStream.makeStream(of: Int32.self)
    process.terminationHandler = {
      endContinuation.yield($0.terminationStatus)
      endContinuation.finish()
    }
    (self.output, self.process, self.input, self.end) = (output, process, input, end)
    try process.run()
  }

  func type(_ keys: [UInt8]) { input.fileHandleForWriting.write(Data(keys)) }

  func interrupt() { process.interrupt() }

  /// Its exit code.
  func ended() async -> Int32 {
    for await code in end { return code }
    return -1
  }
}

extension Process {
  /// Starts ftctl against a stand-in host.
  static func ftctl(
    _ arguments: [String], host: FakeHost, _ variables: [String: String] = [:]
  ) throws -> RunningFtctl {
    var environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
    environment["FTVS_RUN_DIRECTORY"] = host.directory
    let directory = Bundle.main.executableURL?.deletingLastPathComponent() ?? URL(fileURLWithPath: ".")
    return try RunningFtctl(arguments, environment, program: directory.appendingPathComponent("ftctl"))
  }
}
