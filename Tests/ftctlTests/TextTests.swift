import BlockLayers
import Glibc
import Testing

@testable import ftctl

@Suite("Text for people")
struct TextTests {
  @Test(
    "Time spans have two units at most",
    arguments: [
      (0, "0 ms"), (850, "850 ms"), (1000, "1 s"), (3240, "3.2 s"), (45_900, "45 s"), (60_000, "1 min"),
      (725_000, "12 min 5 s"), (7_320_000, "2 h 2 min"), (270_000_000, "3 d 3 h"), (-1500, "-1.5 s"),
    ] as [(Int64, String)])
  func durations(milliseconds: Int64, text: String) { #expect(Times.duration(milliseconds) == text) }

  @Test(
    "Sizes are written with the unit that fits",
    arguments: [
      (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (10 << 30, "10 GiB"),
      (1_048_575, "1 MiB"), (Int64.max, "8 EiB"),
    ] as [(Int64, String)])
  func sizes(bytes: Int64, text: String) { #expect(Sizes.text(bytes) == text) }

  @Test(
    "Sizes are read with and without unit",
    arguments: [
      ("4096", 4096), ("10G", 10 << 30), ("512 MiB", 512 << 20), ("1k", 1024), ("7b", 7), ("8E", nil), ("-1", nil),
      ("", nil), ("10GB", nil), ("1.5G", nil), ("99999999999999999999", nil),
    ] as [(String, Int64?)])
  func sizeParsing(text: String, bytes: Int64?) { #expect(Sizes.parse(text) == bytes) }

  @Test("Sizes that are no sizes are refused, and never trap") func randomSizes() {
    let seed = getenv("FTVS_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1
    var random = SeededGenerator(seed: seed)
    let letters = Array("0123456789kKmMgGtTpPeEiIbB +-.,x\u{0}٣½é")
    for _ in 0..<20_000 {
      let count = Int.random(in: 0...24, using: &random)
      let text = String((0..<count).map { _ in letters.randomElement(using: &random) ?? "0" })
      guard let bytes = Sizes.parse(text) else { continue }
      let digits = text.prefix { $0.isASCII && $0.isNumber }
      // What is read is the number that stands there, times a power of 1024.
      let number = Double(String(digits)) ?? .nan
      let power = log2(Double(bytes) / number) / 10
      let isPower = power.rounded() == power && (0...6).contains(power)
      #expect(bytes == 0 || isPower, "'\(text)' is \(bytes); seed \(seed)")
    }
  }

  @Test("Columns are aligned, numbers at the right, and no line ends in blanks")
  func table() {
    var table = Table(["NAME", "SIZE", "NOTE"], right: [1])
    table.add(["a", "1", ""])
    table.add(["longer", "1000", "x"])
    #expect(
      table.text(.plain, indent: 2) == """
          NAME    SIZE  NOTE
          a          1
          longer  1000  x
        """)
  }

  @Test("On a narrow terminal the last column is cut, and no other")
  func narrow() {
    var table = Table(["NAME", "MESSAGE"])
    table.add(["a-rather-long-name", "a long message"])
    table.add(["b", "short"])
    #expect(
      table.text(Style(isColoured: false, width: 30)) == """
        NAME                MESSAGE
        a-rather-long-name  a long me…
        b                   short
        """)
  }

  @Test("Colour does not change the alignment")
  func colouredTable() {
    var table = Table(["", ""])
    table.add([Table.Cell("on", .green), "x"])
    table.add(["off", "y"])
    #expect(table.text(Style(isColoured: true)) == "\u{1B}[32mon\u{1B}[0m   x\noff  y")
  }

  @Test("Colour is for terminals, and NO_COLOR turns it off")
  func colour() {
    #expect(Terminal.isColoured(isTerminal: true, noColour: nil, terminal: "xterm"))
    #expect(Terminal.isColoured(isTerminal: true, noColour: "", terminal: "xterm"))
    #expect(!Terminal.isColoured(isTerminal: true, noColour: "1", terminal: "xterm"))
    #expect(!Terminal.isColoured(isTerminal: true, noColour: nil, terminal: "dumb"))
    #expect(!Terminal.isColoured(isTerminal: false, noColour: nil, terminal: "xterm"))
  }

  @Test("A progress bar shows part, speed and what is left")
  func bar() {
    let bar = Progress.bar("Uploading web", done: 1 << 20, of: 4 << 20, elapsed: .seconds(2), width: 80)
    #expect(bar == "Uploading web [#########...........................]  25%  512 KiB/s  6 s left")
    #expect(Progress.bar("x", done: 0, of: 0, elapsed: .zero, width: 20) == "x [##########] 100%")
  }

  @Test("A slip of the finger is recognized, and otherwise the names are listed")
  func nearMatches() {
    let names = ["web1", "web2", "database"]
    #expect(NearMatch.sentence("wbe1", in: names, noun: "x") == "Did you mean web1?")
    #expect(NearMatch.of("datbase", in: names) == ["database"])
    #expect(NearMatch.sentence("zzz", in: names, noun: "x") == "There are: web1, web2, database.")
    #expect(NearMatch.sentence("zzz", in: [], noun: "volume") == "There is no volume yet.")
    let many = (1...20).map { "volume\($0)" }
    #expect(NearMatch.sentence("qqq", in: many, noun: "x").hasSuffix("volume8 and 12 more."))
  }

  @Test("Availability is rounded down")
  func availability() {
    #expect(VMText.percent(1) == "100.00000%")
    #expect(VMText.percent(0.9999999) == "99.99999%")
    #expect(VMText.percent(0.99999999) == "99.99999%")
    #expect(VMText.percent(0.5) == "50.00000%")
    #expect(VMText.percent(.nan) == "?")
  }

  @Test("Words of the API are split")
  func words() {
    #expect(Words.spaced("failedOver") == "failed over")
    #expect(Words.count(1, "alert") == "1 alert")
    #expect(Words.count(2, "alert") == "2 alerts")
  }

  @Test("Paths lose what costs bytes")
  func paths() {
    #expect(LabPath.normalized("/tmp/./a/../lab//x/") == "/tmp/lab/x")
    #expect(LabPath.normalized("/..") == "/")
  }
}
