import Glibc

/// Files that somebody names on the command line.
enum InputFile {
  /// The text of a file; `-` is standard input.
  static func text(_ path: String, atMost limit: Int) throws(Complaint) -> String {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw unreadable(path) }
    defer { if path != "-" { close(descriptor) } }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(descriptor, &part, part.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw unreadable(path) }
      if count == 0 { break }
      bytes.append(contentsOf: part.prefix(count))
      guard bytes.count <= limit else {
        throw Complaint("\(path) is larger than \(Sizes.text(Int64(limit))).", .noInput)
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Complaint("\(path) is not text in UTF-8.", .noInput)
    }
    return text
  }

  static func unreadable(_ path: String) -> Complaint {
    Complaint("Cannot read \(path): \(String(cString: strerror(errno))).", .noInput)
  }
}
