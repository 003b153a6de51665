/// Every limit of the storage service that is not a format's.
public enum StorageLimits {
  /// Most layers that a chain may have.
  public static let chainLayers = 64
  /// Largest volume, in bytes: the largest VHD, 2040 GiB.
  public static let volumeBytes: Int64 = 2040 << 30
  /// What sizes and offsets are multiples of, in bytes.
  public static let sectorBytes: Int64 = 512
  /// Most bytes that one `volume.read` or `volume.write` moves.
  public static let transferBytes = 4 << 20
  /// Most characters of an image's description.
  public static let descriptionCharacters = 1_000
  /// Most characters of the name of an image's operating system.
  public static let systemCharacters = 100
  /// Most tags of an image, and most characters of one.
  public static let tags = 16
  public static let tagCharacters = 32
  /// Most snapshots that a volume has.
  public static let snapshots = 48
  /// Most checkpoints that a volume has.
  public static let checkpoints = 16
  /// Spans of 16 MiB in which changes are expected together; more while one write after the other finds none.
  static let firstHotSpans = 4
  static let mostHotSpans = 16
  /// Time within which two such writes follow each other.
  static let hotSpanBurst: Duration = .seconds(2)
  /// Jobs that ended of which the last are remembered.
  public static let rememberedJobs: Int64 = 200
  /// Bytes after which a job makes durable what it copied.
  static let jobPieceBytes: Int64 = 256 << 20
  /// What a layer may hold, in bytes, to be merged while nobody can use the volume.
  static let quickMergeBytes: Int64 = 64 << 20
  /// Time between two looks whether what a job waits for has come.
  static let jobPause: Duration = .milliseconds(200)
  /// Pause before a job that can only go forward is tried again.
  static let jobRetryPause: Duration = .seconds(2)
  /// How long a client may connect to read what it was allowed to, in milliseconds: a day.
  static let readExportMilliseconds: Int64 = 24 * 3600 * 1000
  /// Most volumes that a host has.
  public static let volumes = 4_096
  /// How long a call waits for another operation on the same volume before it is refused.
  public static let patience: Duration = .seconds(5)
  /// How long an operation waits for clients that are just leaving before it is refused.
  public static let leaving: Duration = .milliseconds(500)
  /// How often operators are told that the requests of a volume's clients fail.
  public static let alertInterval: Duration = .seconds(60)
  /// How often operators are told that reads of a layer fail on a leg.
  static let readAlertInterval: Duration = .seconds(300)
  /// From the start of an instance to what reads much and nobody waits for: comparing legs, and looking for stray files.
  static let settlingTime: Duration = .milliseconds(500)
  /// Time between two looks whether calls on a leg that hung have ended.
  static let stuckPause: Duration = .milliseconds(100)
  /// An extent that was not written for between one and two of these becomes cold: a crash then leaves it alone. The first
  /// write to a cold one waits for a disk, so this is not short.
  static let idleTime: Duration = .seconds(60)
  /// Time between two looks whether failed paths work again.
  static let pathProbe: Duration = .seconds(2)
  /// Space that is kept on each leg for what frees space when it is full, in bytes.
  public static let reserveBytes: Int64 = 4 << 20
  /// A leg with less space than this is full, in bytes.
  public static let fullBytes: Int64 = 1 << 20
  /// Threads for operations of control: create, open, flush.
  public static let operationThreads = 4
  /// Threads for what copies much: commits.
  public static let copyThreads = 2
  /// While guests are busy, legs are copied for a quarter of the time: the pause after each piece, in what it took.
  static let busyPauses = 3
  /// The rate that legs are copied at even so, in bytes a second, where the disks allow it.
  static let slowestCopyRate: Int64 = 4 << 20
  /// From the start of an instance to its first scrub.
  static let scrubDelay: Duration = .seconds(3600)
  /// For how long a scrub keeps the thread from others that compare and copy legs.
  static let scrubTurn: Duration = .seconds(1)
  /// From the end of a scrub to the next one.
  static let scrubPause: Duration = .seconds(24 * 3600)
  /// Threads for resyncs and comparisons.
  public static let resyncThreads = 1
}
