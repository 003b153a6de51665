import CFuzzer
import Glibc

/// One program that libFuzzer drives: each run hands it an input, and a trap, a report of the address sanitizer, a hang or a `require`
/// that does not hold keeps the input.
public protocol Fuzzer {
  /// Inputs to begin with. Made by the code that knows the format, so none is stored.
  static func seeds() throws -> [[UInt8]]

  /// Tries one input. Errors are what bad data is meant to end in.
  static func test(_ input: [UInt8]) throws
}

extension Fuzzer {
  /// Hands over to libFuzzer; with `FTVS_FUZZ_SEEDS=FOLDER` writes the seeds there instead, one file each.
  public static func main() {
    if let folder = getenv("FTVS_FUZZ_SEEDS") { return writeSeeds(to: String(cString: folder)) }
    chosen = { try? test($0) }
    var (count, arguments): (Int32, _) = (CommandLine.argc, Optional(CommandLine.unsafeArgv))
    exit(
      withUnsafeMutablePointer(to: &arguments) { arguments in
        arguments.withMemoryRebound(to: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?.self, capacity: 1) {
          LLVMFuzzerRunDriver(&count, $0) { data, size in
            chosen(Array(UnsafeBufferPointer(start: data, count: size)))
            return 0
          }
        }
      })
  }

  private static func writeSeeds(to folder: String) {
    do {
      for (index, seed) in try seeds().enumerated() {
        guard let file = fopen("\(folder)/seed-\(index)", "w") else {
          fatalError("no seed can be written to \(folder)")
        }
        defer { fclose(file) }
        require(fwrite(seed, 1, seed.count, file) == seed.count, "a seed is written whole")
      }
    } catch {
      fatalError("no seeds: \(error)")
    }
  }
}

/// What libFuzzer calls: a C function has no context.
// Written once, before the first run; libFuzzer runs one input at a time.
nonisolated(unsafe) private var chosen: ([UInt8]) -> Void = { _ in }

/// Ends the run as a crash unless what must hold for every input does.
public func require(_ holds: Bool, _ what: @autoclosure () -> String) {
  if !holds { fatalError(what()) }
}

/// The bytes of a number, the highest first.
public func big(_ number: some FixedWidthInteger) -> [UInt8] {
  withUnsafeBytes(of: number.bigEndian) { Array($0) }
}
