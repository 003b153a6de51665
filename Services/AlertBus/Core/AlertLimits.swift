/// The bounds of the alert log.
public struct AlertLimits: Sendable {
  /// Alerts that are held; the oldest are dropped, and the drop is told to whoever asks for them.
  public var held = 100_000
  /// Alerts in one `alert.append`.
  public var appended = 100
  /// Alerts that `alert.list` answers when it is not told how many.
  public var listed = 100
  /// Most that it answers.
  public var listedAtMost = 1000
  /// UTF-8 bytes of alerts in one answer, so that it fits a frame; the rest is a matter of asking again.
  public var answerBytes = 4 << 20
  /// UTF-8 bytes of an alert's kind.
  public var kindBytes = 64
  /// UTF-8 bytes of an alert's subject.
  public var subjectBytes = 256
  /// UTF-8 bytes of an alert's message.
  public var messageBytes = 4096
  /// UTF-8 bytes of an alert's data as JSON.
  public var dataBytes = 16_384
  /// Characters of a note.
  public var noteCharacters = 1000
  /// Numbers in one `alert.acknowledge`.
  public var acknowledged = 1000
  /// Alerts that a follower is read at a time.
  public var page = 100

  public init() {}
}
