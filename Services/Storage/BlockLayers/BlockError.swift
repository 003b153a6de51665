import Glibc

/// Why a block operation failed: a stable kind, the system's error number and the place.
public struct BlockError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What went wrong, for decisions. Never decide by `place`.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// The device or the file system reported an error.
    case io
    /// No space is left where the data would go.
    case noSpace
    /// The range lies outside of the device or file.
    case outOfRange
    /// The caller broke the protocol of the layer.
    case misuse
    /// A write to what was opened for reading.
    case readOnly
    /// The layer was closed before.
    case closed
    /// The module that holds this copy is removed or isolated.
    case shot
    /// The layer cannot do this, or not as fast as it was asked to.
    case notSupported
    /// What is on disk contradicts its format.
    case damaged
    /// A parent is not the one that the child was made on.
    case parentMismatch
    /// Larger than the format can describe.
    case tooLarge
    /// The file or parent does not exist.
    case notFound
  }

  /// What went wrong.
  public var kind: Kind
  /// The system's error number (`EIO`, `ENOSPC`); what an NBD client is told derives from it.
  public var errno: Int32
  /// Which layer and which operation, for people.
  public var place: String

  public init(_ kind: Kind, errno: Int32? = nil, _ place: String) {
    self.kind = kind
    self.errno = errno ?? kind.usualErrno
    self.place = place
  }

  /// The error that a system call just left in `errno`.
  public static func system(_ number: Int32, _ place: String) -> BlockError {
    let kind: Kind =
      switch number {
      case ENOSPC, EDQUOT, EFBIG: .noSpace
      case EROFS: .readOnly
      case ENOENT: .notFound
      case EOPNOTSUPP: .notSupported
      default: .io
      }
    return BlockError(kind, errno: number, place)
  }

  public var description: String {
    "\(kind.rawValue): \(place) (\(String(cString: strerror(errno))))"
  }
}

extension BlockError.Kind {
  fileprivate var usualErrno: Int32 {
    switch self {
    case .io, .damaged, .parentMismatch, .shot: EIO
    case .noSpace: ENOSPC
    case .outOfRange, .misuse: EINVAL
    case .readOnly: EROFS
    case .closed: ESHUTDOWN
    case .notSupported: EOPNOTSUPP
    case .tooLarge: EFBIG
    case .notFound: ENOENT
    }
  }
}
