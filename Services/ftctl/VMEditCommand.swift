import ArgumentParser
import FTVSClient
import FoundationEssentials
import Glibc
import Primitives
import RPC

extension VMCommand {
  /// `ftctl vm edit`
  struct Edit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Edits the definition of a virtual machine that is not running, in your editor.",
      discussion: """
        The editor is that of VISUAL, else of EDITOR, else vi. A definition that is refused leads back to the editor; nothing
        that was typed is lost: what could not be taken stays in a file, which is named.
        """)
    @Argument(completion: .virtualMachines, transform: userName) var name: VMName
    @OptionGroup var options: GlobalOptions

    func run() async throws {
      try await options.run { session in
        try await session.about(name) {
          let detail = try await session.call(ShowVM.self, .init(name: name), on: .vm)
          try await DefinitionEdit(session: session, before: detail).run()
        }
      }
    }
  }
}

/// One edit of a definition, from the text to the service's consent.
struct DefinitionEdit {
  let session: Session
  let before: VMDetail

  func run() async throws {
    let file = try EditedFile(name: "\(before.name).xml", text: before.definition)
    while true {
      let end = try await Editor.run(on: file.path)
      guard end == 0 else { throw kept(file, "The editor ended with \(end).") }
      let text = try file.read()
      guard text != before.definition else {
        file.remove()
        return Terminal.say("Nothing was changed.")
      }
      do {
        let params = DefineVM.Params(definition: text, expectedVersion: before.version)
        try await session.show(DefineVM.self, params, on: .vm) {
          "\($0.name) is redefined" + ($0.version.map { ", version \($0)." } ?? ".")
        }
        return file.remove()
      } catch let error as RPCError {
        guard error.matches(VMFailure.badDefinition), await wantsAnotherTry(error) else {
          throw kept(file, error.message, FtctlExit(error))
        }
      } catch {
        throw kept(file, "\(error)")
      }
    }
  }

  /// Asks, where there is somebody to be asked.
  private func wantsAnotherTry(_ error: RPCError) async -> Bool {
    guard Terminal.isTerminal(STDIN_FILENO), Terminal.isTerminal(STDERR_FILENO) else { return false }
    Terminal.complain(error.message)
    Terminal.write("Edit again? [Y/n] ", STDERR_FILENO)
    guard let answer = readLine() else { return false }
    return !answer.lowercased().hasPrefix("n")
  }

  private func kept(_ file: EditedFile, _ reason: String, _ exit: FtctlExit = .failed) -> Complaint {
    Complaint(
      "\(reason)\nThe definition is as it was. Your text is kept in \(file.path); when it is right: "
        + "ftctl vm define \(file.path)", exit)
  }
}

/// A file of the user's alone that an editor changes.
struct EditedFile {
  let path: String
  private let directory: String

  init(name: String, text: String) throws(Complaint) {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/ftctl-edit-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw Complaint("Cannot make a directory in \(parent): \(String(cString: strerror(errno))).", .system)
    }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    path = "\(directory)/\(name)"
    try write(text)
  }

  private func write(_ text: String) throws(Complaint) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw unwritable() }
    defer { close(descriptor) }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw unwritable() }
      rest = rest.dropFirst(count)
    }
  }

  private func unwritable() -> Complaint {
    Complaint("Cannot write \(path): \(String(cString: strerror(errno))).", .system)
  }

  func read() throws(Complaint) -> String { try InputFile.text(path, atMost: 1 << 20) }

  /// Removes it with what an editor left beside it, such as a backup.
  func remove() { try? FileManager.default.removeItem(atPath: directory) }
}
