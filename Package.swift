// swift-tools-version: 6.2
import PackageDescription

// Warnings are errors in CI only: a newer compiler's new warning must not stop a user's build.
let strict: [SwiftSetting] = Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)]

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let sqlite = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let sqliteLibrary = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

func library(_ name: String, _ path: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, path: path, exclude: readme(path), swiftSettings: strict)
}

func tool(_ name: String, _ path: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: strict)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = [], excluding: [String] = []
) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: excluding, resources: resources,
    swiftSettings: strict)
}

/// Folders whose target also holds a page for its readers.
func readme(_ path: String) -> [String] {
  ["Shared/FTVSClient"].contains(path) ? ["README.md"] : []
}

let apis: [Target.Dependency] = ["ServiceAPI", "HardwareAPI", "VMAPI", "StorageAPI", "AlertAPI"]

let shared: [Target] = [
  .systemLibrary(
    name: "CSystemd", path: "Shared/CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
  .target(name: "CLinux", path: "Shared/CLinux"),
  library("Primitives", "Shared/Primitives"),
  library("RPC", "Shared/RPC", ["Primitives"]),
  library("RPCSocket", "Shared/RPCSocket", ["CLinux", "Primitives", "RPC", log]),
  library("ServiceAPI", "Shared/ServiceAPI", ["Primitives", "RPC"]),
  library("HardwareAPI", "Shared/HardwareAPI", ["Primitives", "RPC"]),
  library("VMAPI", "Shared/VMAPI", ["Primitives", "RPC"]),
  library("StorageAPI", "Shared/StorageAPI", ["Primitives", "RPC"]),
  library("AlertAPI", "Shared/AlertAPI", ["Primitives", "RPC"]),
  library("LabAPI", "Shared/LabAPI", ["Primitives", "RPC"]),
  library("HostConfiguration", "Shared/HostConfiguration", ["Primitives", "RPC"]),
  library("Systemd", "Shared/Systemd", ["CSystemd", "Primitives", log]),
  library(
    "UnitManager", "Shared/UnitManager",
    ["RPC", "LabAPI", "FTVSClient", "HostConfiguration", "Systemd"]),
  library("ControlState", "Shared/ControlState", ["Primitives", "RPC", "ServiceAPI", log, sqlite, sqliteLibrary]),
  library(
    "DaemonKit", "Shared/DaemonKit",
    [
      "Primitives", "RPC", "RPCSocket", "ServiceAPI", "AlertAPI", "HostConfiguration", "Systemd", "ControlState",
      "FTVSClient", log, lifecycle, signals,
    ]),
  library("FTVSClient", "Shared/FTVSClient", ["Primitives", "RPC", "RPCSocket"] + apis),
]

let services: [Target] = [
  library(
    "HardwareSupervisorCore", "Services/HardwareSupervisor/Core",
    ["Primitives", "RPC", "ServiceAPI", "HardwareAPI", "AlertAPI", "ControlState", "UnitManager", log, sqlite]),
  tool(
    "ftvs-hardware", "Services/HardwareSupervisor/Daemon",
    [
      "HardwareSupervisorCore", "DaemonKit", "HostConfiguration", "UnitManager", "FTVSClient", "ControlState",
      "Primitives", "RPC", "RPCSocket", log, lifecycle,
    ] + apis),
  tool(
    "ftvs-module", "Services/Module",
    ["Primitives", "RPC", "RPCSocket", "HardwareAPI", "HostConfiguration", "DaemonKit", "Systemd", log, lifecycle]),
  library("DomainXML", "Services/VMMonitor/DomainXML", ["Primitives"]),
  library(
    "VMMonitorCore", "Services/VMMonitor/Core",
    [
      "Primitives", "RPC", "ServiceAPI", "VMAPI", "HardwareAPI", "StorageAPI", "AlertAPI", "ControlState",
      "UnitManager", "DomainXML", "HostConfiguration", log, sqlite, crypto,
    ]),
  tool(
    "ftvs-vm", "Services/VMMonitor/Daemon",
    [
      "VMMonitorCore", "DaemonKit", "HostConfiguration", "UnitManager", "FTVSClient", "ControlState", "Primitives",
      "RPC", "RPCSocket", log,
    ] + apis),
  tool("ftvs-guest", "Services/VMMonitor/GuestLauncher", []),
  .systemLibrary(name: "CLinuxFile", path: "Services/Storage/CLinuxFile"),
  library("BlockLayers", "Services/Storage/BlockLayers", ["CLinuxFile", "Primitives"]),
  library("VHD", "Services/Storage/VHD", ["CLinuxFile", "Primitives", "BlockLayers"]),
  library("NBD", "Services/Storage/NBD", ["CLinuxFile", "Primitives", "BlockLayers", log]),
  library(
    "StorageCore", "Services/Storage/Core",
    [
      "Primitives", "RPC", "ServiceAPI", "StorageAPI", "AlertAPI", "ControlState", "BlockLayers", "VHD", "NBD", log,
      sqlite, crypto,
    ]),
  tool(
    "ftvs-storage", "Services/Storage/Daemon",
    ["StorageCore", "NBD", "DaemonKit", "HostConfiguration", "ControlState", "FTVSClient", "Primitives", "RPC", log]
      + apis),
  library(
    "AlertBusCore", "Services/AlertBus/Core",
    ["Primitives", "RPC", "ServiceAPI", "AlertAPI", "ControlState", log, sqlite]),
  tool(
    "ftvs-alerts", "Services/AlertBus/Daemon",
    ["AlertBusCore", "DaemonKit", "ControlState", "Primitives", "RPC", "ServiceAPI", "AlertAPI", log]),
  library("Lab", "Services/Lab", ["CLinux", "Primitives", "RPC", "RPCSocket", "LabAPI", "HostConfiguration", log]),
  tool(
    "ftctl", "Services/ftctl",
    [
      "FTVSClient", "Lab", "LabAPI", "HostConfiguration", "BlockLayers", "NBD", "VHD", "Primitives", "RPC", "RPCSocket",
      arguments, log,
    ] + apis),
]

let benchmarks: [Target] = [
  tool(
    "ftvs-bench", "Tests/Benchmarks/Bench",
    ["FTVSClient", "BlockLayers", "VHD", "NBD", "Primitives", "RPC", "RPCSocket", arguments, log] + apis)
]

let testTargets: [Target] = [
  tests("PrimitivesTests", ["Primitives"]),
  tests("RPCTests", ["RPC", "Primitives", "ServiceAPI"]),
  tests("RPCSocketTests", ["RPCSocket", "RPC", "Primitives", "ServiceAPI", log]),
  tests("FTVSClientTests", ["FTVSClient", "RPC", "RPCSocket", "Primitives", log] + apis),
  tests(
    "ContractTests", ["RPC", "RPCSocket", "FTVSClient", "LabAPI", "Primitives", log] + apis, excluding: ["Golden"]),
  tests("SystemdTests", ["Systemd", "CSystemd", "Primitives", log]),
  tests(
    "UnitManagerTests",
    ["UnitManager", "HostConfiguration", "LabAPI", "RPC"], excluding: ["Units"]),
  tests("ControlStateTests", ["ControlState", "ServiceAPI", "RPC", "Primitives", log, sqlite]),
  tests(
    "DaemonKitTests",
    [
      "DaemonKit", "HostConfiguration", "ControlState", "FTVSClient", "RPC", "RPCSocket", "Primitives", "Systemd", log,
      lifecycle,
    ] + apis),
  tests(
    "HardwareSupervisorTests",
    ["HardwareSupervisorCore", "ControlState", "UnitManager", "RPC", "Primitives", log] + apis),
  tests("ModuleTests", ["ftvs-module", "RPC", "RPCSocket", "Primitives"]),
  tests("DomainXMLTests", ["DomainXML", "Primitives"]),
  tests(
    "VMMonitorTests",
    [
      "VMMonitorCore", "DomainXML", "ControlState", "UnitManager", "HostConfiguration", "RPC", "Primitives",
      "ftvs-guest", log,
    ] + apis),
  tests("BlockLayersTests", ["BlockLayers", "Primitives"]),
  tests("VHDTests", ["VHD", "BlockLayers", "Primitives"]),
  tests("NBDTests", ["NBD", "BlockLayers", "Primitives", log]),
  tests(
    "StorageTests",
    [
      "StorageCore", "ftctl", "RPCSocket", "VHD", "NBD", "BlockLayers", "ControlState", "RPC", "Primitives",
      log, sqlite,
    ] + apis),
  tests("AlertBusTests", ["AlertBusCore", "ControlState", "RPC", "Primitives", log] + apis),
  tests("LabTests", ["Lab", "ftctl", "LabAPI", "HostConfiguration", "RPC", "RPCSocket", "Primitives", log]),
  tests(
    "ftctlTests",
    ["ftctl", "DomainXML", "FTVSClient", "BlockLayers", "RPC", "RPCSocket", "Primitives", arguments, log] + apis),
]

/// Links only with `-sanitize=fuzzer`: `Tests/Fuzzers/run` builds these, and only where it says so do they exist.
func fuzzer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: "Fuzz\(name)", dependencies: ["FuzzSupport"] + dependencies, path: "Tests/Fuzzers/\(name)",
    swiftSettings: strict)
}

let fuzzers: [Target] = [
  .systemLibrary(name: "CFuzzer", path: "Tests/Fuzzers/CFuzzer"),
  library("FuzzSupport", "Tests/Fuzzers/Support", ["CFuzzer", "BlockLayers"]),
  fuzzer("DomainXML", ["DomainXML"]),
  fuzzer("IntentRecord", ["BlockLayers"]),
  fuzzer("JSON", ["RPC"]),
  fuzzer("Names", ["Primitives", "RPC"]),
  fuzzer("NBDClient", ["NBD", "BlockLayers", "Primitives"]),
  fuzzer("NBDServer", ["NBD", "BlockLayers", log]),
  fuzzer("RPCFrames", ["RPCSocket", "RPC"]),
  fuzzer("SumFile", ["BlockLayers"]),
  fuzzer("VHD", ["VHD", "BlockLayers"]),
]
let fuzzing = Context.environment["FTVS_FUZZERS"] != nil

let package = Package(
  name: "ftvs",
  products: [
    .library(name: "FTVSClient", targets: ["FTVSClient"]),
    .executable(name: "ftctl", targets: ["ftctl"]),
    .executable(name: "ftvs-hardware", targets: ["ftvs-hardware"]),
    .executable(name: "ftvs-module", targets: ["ftvs-module"]),
    .executable(name: "ftvs-vm", targets: ["ftvs-vm"]),
    .executable(name: "ftvs-guest", targets: ["ftvs-guest"]),
    .executable(name: "ftvs-storage", targets: ["ftvs-storage"]),
    .executable(name: "ftvs-alerts", targets: ["ftvs-alerts"]),
    .executable(name: "ftvs-bench", targets: ["ftvs-bench"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: shared + services + benchmarks + testTargets + (fuzzing ? fuzzers : []),
  swiftLanguageModes: [.v6]
)
