import Glibc

/// Uses memory as the argument says: AddressSanitizer must be silent about `held` and must report the others.
/// `Tests/run sanitize` asks for all, so that a blind sanitizer does not pass for a clean run.
@main
struct Memory {
  static func main() {
    switch CommandLine.arguments.last {
    case "held":
      let memory = filled()
      print(memory[7])
      memory.deallocate()
    case "freed":
      let memory = filled()
      memory.deallocate()
      print(memory[7])
    case "beyond":
      let memory = filled()
      print(memory[8])
      memory.deallocate()
    default: exit(EX_USAGE)
    }
  }

  @inline(never)
  private static func filled() -> UnsafeMutablePointer<Int> {
    let memory = UnsafeMutablePointer<Int>.allocate(capacity: 8)
    memory.initialize(repeating: 1, count: 8)
    return memory
  }
}
