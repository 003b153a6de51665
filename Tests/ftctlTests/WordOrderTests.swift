import Testing

@testable import ftctl

@Suite("Order of words") struct WordOrderTests {
  @Test(
    "Options of every command may stand before it",
    arguments: [
      (["--host", "root@a", "status"], ["status", "--host", "root@a"]),
      (["-o", "json", "vm", "list"], ["vm", "list", "-o", "json"]),
      (
        ["--output=json", "--deadline", "5", "vm", "show", "a"],
        ["vm", "show", "--output=json", "--deadline", "5", "a"]
      ),
      (["status", "-o", "json"], ["status", "-o", "json"]),
      (["--help"], ["--help"]),
      (["--host"], ["--host"]),
    ]) func leading(words: [String], expected: [String])
  {
    #expect(WordOrder.natural(words, root: FtctlCommand.self) == expected)
  }
}
