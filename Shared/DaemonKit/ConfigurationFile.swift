import Glibc
import HostConfiguration
import RPC

/// The host's configuration as a file.
enum ConfigurationFile {
  /// Where it is when `FTVS_CONFIGURATION` does not say.
  static let standardPath = "/etc/ftvs/host.json"

  /// Why it could not be used, and what to do.
  struct Problem: Error, Equatable, CustomStringConvertible {
    var description: String
  }

  /// Reads the file that `FTVS_CONFIGURATION` names, or the standard one; without the latter everything has its default.
  static func load() throws(Problem) -> HostConfiguration {
    if let named = getenv("FTVS_CONFIGURATION") { return try load(String(cString: named)) }
    return access(standardPath, F_OK) == 0 ? try load(standardPath) : HostConfiguration()
  }

  static func load(_ path: String) throws(Problem) -> HostConfiguration {
    guard let bytes = SmallFile.read(path, limit: DaemonLimits.configurationBytes) else {
      throw Problem(description: "The configuration \(path) cannot be read: \(String(cString: strerror(errno))).")
    }
    let json: JSONValue
    do throws(JSONError) {
      json = try JSON.parse(bytes)
    } catch {
      throw Problem(description: "The configuration \(path) is not JSON: \(error.description). Correct it there.")
    }
    return try decode(json, path)
  }

  private static func decode(_ json: JSONValue, _ path: String) throws(Problem) -> HostConfiguration {
    do throws(RPCError) {
      return try WireCoder.decode(HostConfiguration.self, from: json, unknownMembers: .refuse, name: "configuration")
    } catch {
      throw Problem(description: "The configuration \(path) is not right: \(error.message)")
    }
  }
}

/// Files that are read and written whole.
enum SmallFile {
  /// The contents, or nil and `errno`; longer files are not read.
  static func read(_ path: String, limit: Int) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var contents: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      if count < 0 { return nil }
      if count == 0 { return contents }
      contents += buffer.prefix(count)
      if contents.count > limit {
        errno = EFBIG
        return nil
      }
    }
  }

  /// Makes a directory with those above it.
  static func makeDirectory(_ path: String, mode: mode_t) {
    if mkdir(path, mode) == 0 || errno != ENOENT { return }
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    makeDirectory(String(path[..<slash]), mode: mode)
    mkdir(path, mode)
  }
}
