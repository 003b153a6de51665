import Glibc
import Logging
import Testing

@testable import Systemd

struct LogTests {
  private func event(_ level: Logger.Level, _ message: String) -> LogEvent {
    LogEvent(
      level: level, message: "\(message)", metadata: nil, source: nil, file: "Core/Legs.swift", function: "drop()",
      line: 17)
  }

  private func fields(_ event: LogEvent, _ metadata: Logger.Metadata = [:]) -> [String] {
    JournalFields(event, identifier: "ftvs-vm", metadata: metadata).fields.map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func anEventBecomesTheJournalsFields() {
    #expect(
      fields(event(.warning, "A leg is lost.")) == [
        "MESSAGE=A leg is lost.", "PRIORITY=4", "SYSLOG_IDENTIFIER=ftvs-vm", "CODE_FILE=Core/Legs.swift",
        "CODE_LINE=17", "CODE_FUNC=drop()",
      ])
  }

  @Test func metadataBecomesFieldsOfOurOwn() {
    let all = fields(event(.info, "x"), ["volumeName": "disk", "leg": "io0", "a.b c": "1"])
    #expect(all.suffix(3) == ["FTVS_A_B_C=1", "FTVS_LEG=io0", "FTVS_VOLUME_NAME=disk"])
  }

  @Test func aMessageOfSeveralLinesStaysOneField() {
    #expect(fields(event(.info, "one\ntwo=2"))[0] == "MESSAGE=one\ntwo=2")
  }

  @Test func aNameIsAtMost64Characters() {
    let name = JournalFields.fieldName(String(repeating: "x", count: 200))
    #expect(name.utf8.count == 64)
  }

  @Test(arguments: zip(Logger.Level.allCases, [7, 7, 6, 5, 4, 3, 2]))
  func levelsAreThoseOfSyslog(_ level: Logger.Level, _ priority: Int) {
    #expect(JournalFields.priority(of: level) == priority)
  }

  @Test func aPlainLineHasTheFacts() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { ends.forEach { close($0) } }
    let handler = DaemonLogHandler(identifier: "ftvs-vm", destination: .lines(ends[1]), threshold: .init(.info))
    var logger = Logger(label: "test", factory: { _ in handler })
    logger[metadataKey: "module"] = "cpu0"
    logger.notice("Active.", metadata: ["epoch": "3"])
    var buffer = [UInt8](repeating: 0, count: 512)
    let count = read(ends[0], &buffer, buffer.count)
    let line = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    #expect(line == "ftvs-vm[\(getpid())] notice: Active. epoch=3 module=cpu0\n")
  }

  @Test func theThresholdOfAllLoggersCanBeChanged() {
    let threshold = DaemonLogHandler.Threshold(.info)
    let handler = DaemonLogHandler(identifier: "x", destination: .lines(-1), threshold: threshold)
    #expect(handler.logLevel == .info)
    threshold.level = .debug
    #expect(handler.logLevel == .debug)
  }

  @Test func theJournalIsRecognizedByDeviceAndInode() {
    var status = stat()
    fstat(STDERR_FILENO, &status)
    typealias Destination = DaemonLogHandler.Destination
    #expect(Destination.isStream(STDERR_FILENO, "\(status.st_dev):\(status.st_ino)"))
    #expect(!Destination.isStream(STDERR_FILENO, "\(status.st_dev):\(status.st_ino + 1)"))
    #expect(!Destination.isStream(-1, "0:0"))
  }
}
