import DomainXML
import Foundation
import Primitives
import Testing

@testable import ftctl

@Suite("vm create")
struct CreateTests {
  private func machine(_ words: String) throws -> NewMachine {
    let words = ["vm", "create"] + words.split(separator: " ").map(String.init)
    let command = try #require(try FtctlCommand.parseAsRoot(words) as? VMCommand.Create)
    return try command.newMachine
  }

  private func domain(_ words: String) throws -> Domain { try Domain(xml: try machine(words).xml) }

  private func complaint(_ words: String) -> String {
    do {
      _ = try machine(words)
      return ""
    } catch {
      return FtctlCommand.message(for: error)
    }
  }

  @Test("The shortest command makes a machine without disks")
  func shortest() throws {
    let domain = try domain("web --memory 512M")
    #expect(domain.name.rawValue == "web" && domain.memoryBytes == 512 << 20 && domain.topology.cpus == 1)
    #expect(domain.disks.isEmpty && domain.interfaces.count == 1 && domain.devices.hasSerialPort)
  }

  @Test("Disks are volumes that are there, new ones and ones on images", arguments: ["virtio", "sata", "scsi"])
  func disks(bus: String) throws {
    let words = "web --memory 1G --disk data --disk new:10G --disk image:debian --cdrom iso --bus \(bus)"
    let domain = try domain(words)
    #expect(domain.disks.map { $0.volume?.rawValue } == ["data", "web-disk1", "web-disk2", "iso"])
    #expect(domain.disks.map(\.kind) == [.disk, .disk, .disk, .cdrom])
    #expect(Set(domain.disks.prefix(3).map(\.bus.rawValue)) == [bus])
    #expect(domain.boot.order == [.hd, .cdrom])
  }

  @Test("Everything that can be asked for reads as what was asked")
  func everything() throws {
    let domain = try domain(
      "web --memory 2G --cpus 4 --title <R&D> --uefi --vnc --guest-agent --network-model e1000 "
        + "--forward 2222:22 --forward udp:0.0.0.0:53:5353 --protection none --module cpu1 --machine q35")
    #expect(domain.title == "<R&D>" && domain.topology.cpus == 4)
    #expect(domain.boot.firmware.uefi?.variables.rawValue == "web-nvram")
    #expect(domain.devices.graphics != nil && domain.devices.inputs.count == 1)
    #expect(domain.devices.hasGuestAgent)
    #expect(domain.interfaces.map(\.model) == [.e1000])
    #expect(domain.settings.forwards.map(\.hostAddress) == ["127.0.0.1", "0.0.0.0"])
    #expect(domain.settings.forwards.map(\.guestPort) == [22, 5353])
    #expect(domain.protection == .none && domain.settings.preferredModule == .cpu1)
  }

  @Test("A relative path begins where one is; on another host it is that host's affair")
  func relativePaths() throws {
    let here = FileManager.default.currentDirectoryPath
    let new = try machine("web --memory 128M --kernel vmlinux --initrd boot/initrd")
    #expect(new.kernel == "\(here)/vmlinux" && new.initialRAMDisk == "\(here)/boot/initrd")
    #expect(try machine("web --memory 128M --kernel vmlinux --host there").kernel == "vmlinux")
  }

  @Test("A kernel is booted directly")
  func kernel() throws {
    let domain = try domain("web --memory 128M --kernel /boot/k --initrd /boot/i --append quiet --network none")
    #expect(domain.boot.kernel == "/boot/k" && domain.boot.initialRAMDisk == "/boot/i")
    #expect(domain.boot.commandLine == "quiet" && domain.interfaces.isEmpty)
  }

  @Test("Names of volumes stay within their length")
  func longNames() throws {
    let name = String(repeating: "n", count: 63)
    #expect(try machine("\(name) --memory 1G --disk new:1G").volume(of: 0).rawValue.utf8.count == 63)
    #expect(try domain("\(name) --memory 1G --disk new:1G").disks.count == 1)
  }

  @Test(
    "What does not fit is refused",
    arguments: [
      ("web", "memory"), ("web --memory 1G --cpus 65", "1 to 64"), ("web --memory 1G --initrd /i", "--kernel"),
      ("web --memory 1G --disk new:", "disk"), ("web --memory 1G --disk image:../a", "disk"),
      ("web --memory 1G --forward 22", "forward"), ("web --memory 1G --module io0", "cpu0"),
      ("web --memory 1G --network none --forward 2222:22", "--network user"),
    ])
  func refusals(words: String, word: String) { #expect(complaint(words).contains(word), "\(complaint(words))") }
}
