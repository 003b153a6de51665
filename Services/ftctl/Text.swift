import ArgumentParser
import Glibc

/// Times as people read them.
struct Times: Sendable {
  /// Now, in milliseconds since 1970.
  var now: Int64
  /// A time of day in some zone.
  var clock: @Sendable (Int64) -> String

  /// Now, in local time.
  static var current: Times {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Times(now: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000, clock: local)
  }

  /// How long ago: "3 min".
  func since(_ milliseconds: Int64) -> String { Self.duration(max(0, now &- milliseconds)) }

  /// `2026-11-23 20:15:03` in local time.
  @Sendable static func local(_ milliseconds: Int64) -> String {
    var seconds = time_t(milliseconds / 1000)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return text(parts)
  }

  /// The same in Coordinated Universal Time.
  @Sendable static func universal(_ milliseconds: Int64) -> String {
    var seconds = time_t(milliseconds / 1000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return text(parts)
  }

  /// `20261123T201503Z`: ISO 8601, basic format, in Coordinated Universal Time.
  static func compactUTC(_ milliseconds: Int64) -> String {
    var seconds = time_t(milliseconds / 1000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return text(parts, "%Y%m%dT%H%M%SZ")
  }

  private static func text(_ parts: tm, _ format: String = "%Y-%m-%d %H:%M:%S") -> String {
    var parts = parts
    var bytes = [CChar](repeating: 0, count: 32)
    let count = strftime(&bytes, bytes.count, format, &parts)
    return String(decoding: bytes.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// A time span with two units at most: "850 ms", "3.2 s", "12 min 5 s", "3 d 4 h".
  static func duration(_ milliseconds: Int64) -> String {
    if milliseconds < 0 { return "-" + duration(milliseconds == .min ? .max : -milliseconds) }
    if milliseconds < 1000 { return "\(milliseconds) ms" }
    if milliseconds < 10_000 { return "\(Sizes.oneDecimal(Double(milliseconds) / 1000)) s" }
    let seconds = milliseconds / 1000
    if seconds < 60 { return "\(seconds) s" }
    let units: [(Int64, String)] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")]
    for (index, (length, name)) in units.enumerated() where seconds >= length {
      let rest = seconds % length
      guard index + 1 < units.count, rest / units[index + 1].0 > 0 else { return "\(seconds / length) \(name)" }
      return "\(seconds / length) \(name) \(rest / units[index + 1].0) \(units[index + 1].1)"
    }
    return "\(seconds) s"
  }
}

/// Byte counts as people read and write them.
enum Sizes {
  private static let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

  /// "512 B", "1.5 GiB".
  static func text(_ bytes: Int64) -> String {
    guard bytes >= 1024 else { return "\(bytes) B" }
    var value = Double(bytes) / 1024
    var unit = 0
    while value >= 1023.95, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return "\(oneDecimal(value)) \(units[unit])"
  }

  /// With a digit after the point, unless that is 0.
  static func oneDecimal(_ value: Double) -> String {
    let tenths = Int64((value * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
  }

  /// From "10G", "512 MiB", "4096"; nil when that is no size or too large.
  static func parse(_ text: String) -> Int64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int64(digits) else { return nil }
    let suffix = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
    if suffix.isEmpty || suffix == "b" { return number }
    guard let power = ["k", "m", "g", "t", "p", "e"].firstIndex(of: String(suffix.prefix(1))),
      ["", "ib"].contains(suffix.dropFirst())
    else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: Int64(1) << (10 * (power + 1)))
    return overflow ? nil : bytes
  }
}

/// A size on the command line.
struct ByteCount: ExpressibleByArgument, Equatable {
  let bytes: Int64

  init?(argument: String) {
    guard let bytes = Sizes.parse(argument), bytes > 0 else { return nil }
    self.bytes = bytes
  }
}

/// Columns of text.
struct Table {
  struct Cell: ExpressibleByStringInterpolation {
    var text: String
    var colour: Style.Colour?

    init(_ text: String, _ colour: Style.Colour? = nil) {
      self.text = text
      self.colour = colour
    }

    init(stringLiteral value: String) { self.init(value) }
  }

  private let titles: [String]
  private var rows: [[Cell]] = []
  /// Columns whose text ends at the right.
  private let right: Set<Int>

  init(_ titles: [String], right: Set<Int> = []) {
    self.titles = titles
    self.right = right
  }

  var isEmpty: Bool { rows.isEmpty }

  mutating func add(_ cells: [Cell]) { rows.append(cells) }

  /// The lines, without a line break at the end. `indent` is the number of blanks before each.
  func text(_ style: Style, indent: Int = 0) -> String {
    let head = titles.allSatisfy(\.isEmpty) ? [] : [titles.map { Cell($0, .faint) }]
    let lines = head + rows
    let widths = titles.indices.map { column in
      lines.map { column < $0.count ? $0[column].text.count : 0 }.max() ?? 0
    }
    return lines.map { cells in
      var line = String(repeating: " ", count: indent)
      var pending = 0
      var used = indent
      for (column, cell) in cells.enumerated() where column < widths.count {
        let room = column == widths.count - 1 ? style.width.map { max(8, $0 - used) } : nil
        let cell = room.map { Cell(Self.cut(cell.text, to: $0), cell.colour) } ?? cell
        used += widths[column] + 2
        let fill = widths[column] - cell.text.count
        pending += right.contains(column) ? fill : 0
        if !cell.text.isEmpty {
          line += String(repeating: " ", count: pending) + style.paint(cell.text, cell.colour)
          pending = 0
        }
        pending += (right.contains(column) ? 0 : fill) + 2
      }
      return line
    }.joined(separator: "\n")
  }
}

extension Table {
  /// The text, or its beginning and a sign that there is more.
  private static func cut(_ text: String, to room: Int) -> String {
    text.count <= room ? text : text.prefix(room - 1) + "…"
  }
}

/// Names that somebody may have meant.
enum NearMatch {
  /// Of the names those that are a slip or two away from `word`, or begin like it; the nearest first, three at most.
  static func of(_ word: String, in names: [String]) -> [String] {
    let wanted = word.lowercased()
    let rated: [(distance: Int, name: String)] = names.compactMap { name in
      let candidate = name.lowercased()
      let distance = distance(wanted, candidate)
      let isNear = distance <= max(1, wanted.count / 3) || candidate.hasPrefix(wanted) || wanted.hasPrefix(candidate)
      return isNear ? (distance, name) : nil
    }
    return rated.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(3).map(\.name)
  }

  /// A sentence for an error: which names are near, or which there are.
  static func sentence(_ word: String, in names: [String], noun: String) -> String {
    if names.isEmpty { return "There is no \(noun) yet." }
    let near = of(word, in: names)
    if !near.isEmpty { return "Did you mean \(near.joined(separator: " or "))?" }
    let shown = names.prefix(8).joined(separator: ", ")
    return "There are: \(shown)\(names.count > 8 ? " and \(names.count - 8) more" : "")."
  }

  /// Number of letters to insert, remove, change or swap with the next.
  private static func distance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left.prefix(64)), Array(right.prefix(64)))
    if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
    var before: [Int] = []
    var last = Array(0...right.count)
    for row in 1...left.count {
      var next = [row]
      for column in 1...right.count {
        let differs = left[row - 1] == right[column - 1] ? 0 : 1
        var best = min(last[column] + 1, next[column - 1] + 1, last[column - 1] + differs)
        if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
          best = min(best, before[column - 2] + 1)
        }
        next.append(best)
      }
      (before, last) = (last, next)
    }
    return last[right.count]
  }
}
