/// A set of extents, by number: one bit for each.
struct ExtentSet: Sendable, Equatable {
  private(set) var words: [UInt64] = []

  init() {}

  /// The set whose bits these words hold, the lowest first.
  init(words: [UInt64]) {
    self.words = words
    trim()
  }

  var isEmpty: Bool { words.isEmpty }
  var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  func contains(_ extent: Int) -> Bool {
    extent >> 6 < words.count && words[extent >> 6] >> UInt64(extent & 63) & 1 == 1
  }

  func contains(_ extents: ClosedRange<Int>) -> Bool { extents.allSatisfy(contains) }

  mutating func insert(_ extent: Int) {
    let word = extent >> 6
    if word >= words.count { words.append(contentsOf: repeatElement(0, count: word + 1 - words.count)) }
    words[word] |= 1 << UInt64(extent & 63)
  }

  mutating func insert(_ extents: ClosedRange<Int>) { for extent in extents { insert(extent) } }

  mutating func remove(_ extent: Int) {
    guard contains(extent) else { return }
    words[extent >> 6] &= ~(1 << UInt64(extent & 63))
    trim()
  }

  mutating func formUnion(_ other: ExtentSet) {
    if words.count < other.words.count {
      words.append(contentsOf: repeatElement(0, count: other.words.count - words.count))
    }
    for (index, word) in other.words.enumerated() { words[index] |= word }
  }

  mutating func subtract(_ other: ExtentSet) {
    for (index, word) in other.words.prefix(words.count).enumerated() { words[index] &= ~word }
    trim()
  }

  func union(_ other: ExtentSet) -> ExtentSet {
    var union = self
    union.formUnion(other)
    return union
  }

  func subtracting(_ other: ExtentSet) -> ExtentSet {
    var rest = self
    rest.subtract(other)
    return rest
  }

  func forEach(_ body: (Int) -> Void) {
    for (index, word) in words.enumerated() {
      var rest = word
      while rest != 0 {
        body(index << 6 + rest.trailingZeroBitCount)
        rest &= rest &- 1
      }
    }
  }

  /// The members, in ascending order.
  var all: [Int] {
    var all: [Int] = []
    forEach { all.append($0) }
    return all
  }

  /// Equal sets have equal words.
  private mutating func trim() { while words.last == 0 { words.removeLast() } }
}
