// ftvs-guest ARGUMENTS-FILE: becomes the program that the file names.
//
// The file: strings, each followed by a NUL: "ftvs-guest-1", the absolute path of the program, and its arguments. A
// unit instance runs this, because what a guest is made of is known to the VM monitor alone and not to a unit file.

import Glibc

let header = "ftvs-guest-1"
let limit = 1 << 20

func stop(_ message: String) -> Never {
  let text = Array("ftvs-guest: \(message)\n".utf8)
  _ = text.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  exit(78)
}

func reason() -> String { String(cString: strerror(errno)) }

/// The bytes of the file, which nobody but its owner may be able to write.
func contents(of path: String) -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
  guard descriptor >= 0 else { stop("cannot open \(path): \(reason())") }
  defer { close(descriptor) }
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { stop("cannot inspect \(path): \(reason())") }
  guard status.st_mode & S_IFMT == S_IFREG else { stop("\(path) is not a regular file") }
  guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
    stop("\(path) can be written by others than its owner; refusing to run it")
  }
  guard status.st_size > 0, status.st_size <= limit else {
    stop("\(path) has \(status.st_size) bytes; 1 to \(limit) are allowed")
  }
  var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
  var done = 0
  while done < bytes.count {
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress?.advanced(by: done), $0.count - done) }
    if count < 0, errno == EINTR { continue }
    guard count > 0 else { stop("cannot read \(path): \(count == 0 ? "it became shorter" : reason())") }
    done += count
  }
  return bytes
}

guard CommandLine.arguments.count == 2 else { stop("usage: ftvs-guest ARGUMENTS-FILE") }
let path = CommandLine.arguments[1]
let bytes = contents(of: path)
guard bytes.last == 0 else { stop("\(path) does not end with a NUL; it was not written whole") }
let words = bytes.dropLast().split(separator: 0, omittingEmptySubsequences: false).map {
  String(decoding: $0, as: UTF8.self)
}
guard words.first == header else { stop("\(path) does not begin with '\(header)'; it is of another version") }
guard words.count >= 2, words[1].hasPrefix("/") else { stop("\(path) does not name a program by its absolute path") }
let program = words[1]

// Whoever started this may have blocked or ignored signals; the guest's process must end when it is told to.
var none = sigset_t()
sigemptyset(&none)
sigprocmask(SIG_SETMASK, &none, nil)
for number in [SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGCHLD] { signal(number, SIG_DFL) }

var arguments: [UnsafeMutablePointer<CChar>?] = words.dropFirst().map { strdup($0) }
arguments.append(nil)
execv(program, arguments)
stop("cannot run \(program): \(reason())")
