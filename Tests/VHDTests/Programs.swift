import Glibc
import Testing

/// The result of a program.
struct Output {
  var status: Int32
  var text: String
}

/// Runs a program that the tests need and returns what it prints.
func run(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Output {
  try run(arguments, sourceLocation: sourceLocation)
}

func run(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> Output {
  var ends: [Int32] = [0, 0]
  try #require(pipe(&ends) == 0)
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
  posix_spawn_file_actions_addclose(&actions, ends[0])
  posix_spawn_file_actions_addclose(&actions, ends[1])
  defer { posix_spawn_file_actions_destroy(&actions) }
  var pid = pid_t()
  // A tool that hangs is a failure, not a hang of the tests.
  let all = ["timeout", "60"] + arguments
  var words: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
  defer { for word in words { free(word) } }
  try #require(posix_spawnp(&pid, "timeout", &actions, nil, &words, environ) == 0, sourceLocation: sourceLocation)
  close(ends[1])
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(ends[0], &chunk, chunk.count)
    if count <= 0 { break }
    bytes += chunk[..<count]
  }
  close(ends[0])
  var status: Int32 = 0
  waitpid(pid, &status, 0)
  let code = status & 0x7f == 0 ? (status >> 8) & 0xff : -1
  let output = Output(status: code, text: String(decoding: bytes, as: UTF8.self))
  try #require(
    code != 127, "\(arguments[0]) is not installed: apt-get install qemu-utils libvhdi-utils libvhdi1 python3",
    sourceLocation: sourceLocation)
  return output
}
