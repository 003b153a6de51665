import ArgumentParser

/// Options of every command may stand before it, too: `ftctl --host root@a status` is what one types first.
enum WordOrder {
  private static let options: Set<String> = ["-o", "--output", "--run-directory", "--host", "--deadline"]

  /// The words with leading options moved behind the names of the command that they belong to.
  static func natural(_ words: [String], root: any ParsableCommand.Type) -> [String] {
    var leading: [String] = []
    var rest = words[...]
    while let word = rest.first, isOption(word) {
      rest.removeFirst()
      leading.append(word)
      if options.contains(word), let value = rest.popFirst() { leading.append(value) }
    }
    guard !leading.isEmpty else { return words }
    var command = root
    var names: [String] = []
    while let word = rest.first, let child = child(word, of: command) {
      command = child
      names.append(word)
      rest.removeFirst()
    }
    return names + leading + rest
  }

  /// The subcommand of that name.
  static func child(_ word: String, of command: any ParsableCommand.Type) -> (any ParsableCommand.Type)? {
    command.configuration.subcommands.first { $0._commandName == word || $0.configuration.aliases.contains(word) }
  }

  private static func isOption(_ word: String) -> Bool {
    options.contains(word) || options.contains { $0.hasPrefix("--") && word.hasPrefix("\($0)=") }
  }
}
