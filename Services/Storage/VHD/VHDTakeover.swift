import BlockLayers

extension VHDLayer {
  /// Gives a file the identity of the child that was committed into it, so that it can take the child's place: what was
  /// made on the child then finds its parent in this file. Durable when it returns; safe to repeat after a crash at any
  /// point.
  ///
  /// Nobody may be writing the file, and whoever has it open goes on knowing the old identity.
  ///
  /// - Throws: `damaged` when it is no VHD file, or one whose footer at the end is missing.
  public static func takeIdentity(_ identity: VHDIdentity, in file: any ByteFile) throws(BlockError) {
    let structure = try VHDStructure(file)
    guard !structure.usedCopy else {
      // Cut off in the footer at the end, which the copy stands for until the file is opened to be written.
      if structure.identity == identity { return }
      throw BlockError(.damaged, "\(file.name) has no footer at its end")
    }
    let footer = structure.footerBytes(identity)
    // The copy first: from then on it stands for a footer that is torn.
    if structure.kind != .fixed {
      try file.vhdWrite(footer, at: 0)
      try file.flush()
    }
    try file.vhdWrite(footer, at: structure.fileSize - Int64(footer.count))
    try file.flush()
  }
}

extension VHDStructure {
  /// The footer as it was read, with another identity.
  fileprivate func footerBytes(_ identity: VHDIdentity) -> [UInt8] {
    var bytes = footerBytes
    bytes.put(identity.timeStamp, at: 24)
    bytes.replaceSubrange(68..<84, with: identity.uuid.bytes)
    bytes.put(bytes.vhdChecksum(fieldAt: 64), at: 64)
    return bytes
  }
}
