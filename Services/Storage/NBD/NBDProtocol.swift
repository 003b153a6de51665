import BlockLayers
import Glibc

/// Numbers of the NBD protocol (proto.md of the NBD project). All fields on the wire are big-endian.
enum NBD {
  static let greeting: UInt64 = 0x4e42_444d_4147_4943  // NBDMAGIC
  static let optionMagic: UInt64 = 0x4948_4156_454f_5054  // IHAVEOPT
  static let optionReplyMagic: UInt64 = 0x0003_e889_0455_65a9
  static let requestMagic: UInt32 = 0x2560_9513
  static let simpleReplyMagic: UInt32 = 0x6744_6698
  static let structuredReplyMagic: UInt32 = 0x668e_33ef
  static let requestLength = 28
  /// Bytes of any string.
  static let stringLimit = 4096

  /// Both the server's and the client's handshake flags.
  enum Handshake {
    static let fixedNewstyle: UInt16 = 1
    static let noZeroes: UInt16 = 2
  }

  enum Option: UInt32 {
    case exportName = 1, abort, list
    case startTLS = 5
    case info, go, structuredReply, listMetaContext, setMetaContext
  }

  enum OptionReply {
    static let acknowledge: UInt32 = 1
    static let server: UInt32 = 2
    static let info: UInt32 = 3
    static let metaContext: UInt32 = 4
    static let unsupported: UInt32 = 0x8000_0001
    static let policy: UInt32 = 0x8000_0002
    static let invalid: UInt32 = 0x8000_0003
    static let unknown: UInt32 = 0x8000_0006
    static let shutdown: UInt32 = 0x8000_0007
    static let tooBig: UInt32 = 0x8000_0009
  }

  enum Info: UInt16 {
    case export = 0, name, description, blockSize
  }

  /// What an export can do.
  enum Export {
    static let hasFlags: UInt16 = 1
    static let readOnly: UInt16 = 2
    static let sendFlush: UInt16 = 4
    static let sendFUA: UInt16 = 8
    static let sendTrim: UInt16 = 32
    static let sendWriteZeroes: UInt16 = 64
    static let sendDF: UInt16 = 128
    static let multiConnection: UInt16 = 256
    static let sendCache: UInt16 = 1024
    static let sendFastZero: UInt16 = 2048
  }

  enum Command: UInt16 {
    case read = 0, write, disconnect, flush, trim, cache, writeZeroes, blockStatus
  }

  enum CommandFlag {
    static let forceUnitAccess: UInt16 = 1
    static let noHole: UInt16 = 2
    static let dontFragment: UInt16 = 4
    static let requestOne: UInt16 = 8
    static let fastZero: UInt16 = 16
  }

  enum Chunk {
    static let done: UInt16 = 1
    static let none: UInt16 = 0
    static let offsetData: UInt16 = 1
    static let offsetHole: UInt16 = 2
    static let blockStatus: UInt16 = 5
    static let error: UInt16 = 0x8001
    static let headerLength = 20
  }

  enum AllocationFlag {
    static let hole: UInt32 = 1
    static let zero: UInt32 = 2
  }

  static let allocationContext = "base:allocation"
}

/// Why a connection ended.
enum NBDEnd: Error {
  /// The client left, or took its leave.
  case closed
  /// The client broke the protocol so that nothing more of it can be understood.
  case breach(String)
  /// The server ended it.
  case ended
}
