import BlockLayers
import Glibc

extension NBD {
  /// Error numbers on the wire (NBD protocol, "Error values"); they have Linux' values on every system.
  enum Failure: UInt32 {
    case notPermitted = 1
    case io = 5
    case noMemory = 12
    case invalid = 22
    case noSpace = 28
    /// Only of reads that must not be fragmented.
    case overflow = 75
    /// Only of zeroes that were to be fast.
    case notSupported = 95
    case shutdown = 108

    /// - Parameter wasToBeFast: whether the request was to fail instead of being slow.
    init(_ error: BlockError, wasToBeFast: Bool = false) {
      self =
        switch error.errno {
        case EPERM, EROFS, EACCES: .notPermitted
        case ENOSPC, EDQUOT, EFBIG: .noSpace
        case ENOMEM: .noMemory
        case EINVAL: .invalid
        case EOPNOTSUPP: wasToBeFast ? .notSupported : .invalid
        case ESHUTDOWN: .shutdown
        default: .io
        }
    }
  }
}

/// What is wrong with a request itself. Holds no memory: each request has room for one.
struct NBDObjection {
  var number: NBD.Failure
  /// A sentence for people.
  var text: StaticString

  init(_ number: NBD.Failure, _ text: StaticString) {
    self.number = number
    self.text = text
  }
}

extension String {
  /// The UTF-8 of as many whole characters as fit into the limit, the protocol's for any string where none is given.
  func utf8Prefix(_ limit: Int = NBD.stringLimit) -> [UInt8] {
    guard utf8.count > limit else { return Array(utf8) }
    var bytes: [UInt8] = []
    for character in self {
      guard bytes.count + character.utf8.count <= limit else { break }
      bytes += character.utf8
    }
    return bytes
  }
}
