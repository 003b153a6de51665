import Glibc
import HostConfiguration
import Testing

@testable import DaemonKit

struct ArgumentsTests {
  @Test func theModuleIsTaken() {
    #expect(DaemonArguments(["--module", "cpu1"]) == .run(.cpu1))
    #expect(DaemonArguments(["--module=cpu0"]) == .run(.cpu0))
  }

  @Test(arguments: [[], ["--module"], ["--module", "io0"], ["--module=x"], ["cpu0"], ["--module", "cpu0", "extra"]])
  func whatIsNotUnderstoodIsRefused(_ arguments: [String]) {
    guard case .wrong(let reason) = DaemonArguments(arguments) else {
      Issue.record("\(arguments) was accepted")
      return
    }
    #expect(!reason.isEmpty)
  }

  @Test func helpAndVersionComeFirst() {
    #expect(DaemonArguments(["--help"]) == .help)
    #expect(DaemonArguments(["--module", "cpu0", "--version"]) == .version)
  }

  @Test func aConfigurationIsRead() throws {
    let folder = try Folder()
    try folder.write(#"{"runDirectory": "/somewhere", "logLevel": "debug"}"#, "host.json")
    let configuration = try ConfigurationFile.load(folder.path + "/host.json")
    #expect(configuration.runDirectory == "/somewhere")
    #expect(DaemonProcess.level(configuration) == .debug)
  }

  @Test(arguments: ["", "{", "[]", #"{"runDirectroy": "x"}"#, #"{"heartbeatBoundMilliseconds": 1}"#])
  func aConfigurationThatIsNotRightIsRefused(_ text: String) throws {
    let folder = try Folder()
    try folder.write(text, "host.json")
    let problem = #expect(throws: ConfigurationFile.Problem.self) {
      try ConfigurationFile.load(folder.path + "/host.json")
    }
    #expect(problem?.description.contains("host.json") == true)
  }

  @Test func aConfigurationThatIsNotThereIsRefused() {
    #expect(throws: ConfigurationFile.Problem.self) { try ConfigurationFile.load("/nowhere/host.json") }
  }
}
