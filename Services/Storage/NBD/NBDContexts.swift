import BlockLayers

/// A metadata context that a client chose, with the number that it has on the wire.
struct NBDAgreedContext {
  var id: UInt32
  var context: any NBDMetadataContext
}

/// `base:allocation`: what the device stores and what reads as zeros.
struct NBDAllocationContext: NBDMetadataContext {
  let device: any BlockDevice

  var name: String { NBD.allocationContext }

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    try device.extents(at: offset, count: count).map {
      NBDContextExtent(
        count: $0.count,
        flags: ($0.isAllocated ? 0 : NBD.AllocationFlag.hole) | ($0.readsAsZero ? NBD.AllocationFlag.zero : 0))
    }
  }
}

/// A context that was there when the client chose it and is no more when it opens the export.
struct NBDGoneContext: NBDMetadataContext {
  let name: String

  func extents(at offset: Int64, count: Int64) throws(BlockError) -> [NBDContextExtent] {
    throw BlockError(.notFound, "the metadata context \(name) is gone")
  }
}

/// The metadata contexts of an export (NBD protocol, "Metadata querying"), each with its number on the wire.
struct NBDContextList {
  let all: [NBDAgreedContext]

  init(_ export: NBDExport) {
    var all = [NBDAgreedContext(id: 1, context: NBDAllocationContext(device: export.device))]
    for context in export.contexts where Self.isValid(context.name) {
      guard !all.contains(where: { Self.isSame($0.context.name, context.name) }) else { continue }
      all.append(NBDAgreedContext(id: UInt32(clamping: all.count + 1), context: context))
    }
    self.all = all
  }

  /// Those that a listing shows: all without a query; a query that ends with a colon stands for all that begin with it.
  func listed(_ queries: [String]) -> [NBDAgreedContext] {
    if queries.isEmpty { return all }
    return all.filter { agreed in
      let name = agreed.context.name
      return queries.contains { query in
        query.hasSuffix(":") ? name.utf8.starts(with: query.utf8) : Self.isSame(query, name)
      }
    }
  }

  /// Those that queries choose: only whole names do.
  func chosen(_ queries: [String]) -> [NBDAgreedContext] {
    all.filter { agreed in queries.contains { Self.isSame($0, agreed.context.name) } }
  }

  /// The contexts that were chosen before, of the export as it is opened now.
  func reopened(_ chosen: [(id: UInt32, name: String)]) -> [NBDAgreedContext] {
    chosen.map { id, name in
      let context = all.first { Self.isSame($0.context.name, name) }?.context
      return NBDAgreedContext(id: id, context: context ?? NBDGoneContext(name: name))
    }
  }

  private static func isValid(_ name: String) -> Bool {
    let bytes = name.utf8
    guard bytes.count <= NBD.stringLimit, let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return false }
    return colon != bytes.startIndex && bytes.index(after: colon) != bytes.endIndex && !name.hasSuffix(":")
  }

  /// On the wire names are bytes: what Unicode takes for equal may differ.
  private static func isSame(_ one: String, _ other: String) -> Bool { one.utf8.elementsEqual(other.utf8) }
}

extension [NBDContextExtent] {
  /// What is sent of an answer of a context: neighbours of the same flags as one, none behind the `count` bytes that were
  /// asked for, at most `limit`. Empty when the context broke its word.
  func fitting(_ count: Int64, limit: Int) -> [NBDContextExtent] {
    var fitting: [NBDContextExtent] = []
    var rest = count
    for extent in self where rest > 0 {
      guard extent.count > 0 else { return [] }
      let piece = Swift.min(extent.count, rest)
      rest -= piece
      if fitting.last?.flags == extent.flags {
        fitting[fitting.count - 1].count += piece
      } else {
        guard fitting.count < limit else { break }
        fitting.append(NBDContextExtent(count: piece, flags: extent.flags))
      }
    }
    return fitting
  }
}
