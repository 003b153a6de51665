import Primitives

/// Reads the firmware of `<os>`: `firmware`, `<loader>` and `<nvram>`.
enum FirmwareReader {
  /// Debian's UEFI (package `ovmf`): what `firmware='efi'` means here.
  enum OVMF {
    static let code = "/usr/share/OVMF/OVMF_CODE_4M.fd"
    static let variables = "/usr/share/OVMF/OVMF_VARS_4M.fd"
    /// Templates that belong to images of the code.
    static let templates = [
      code: variables, "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd": "/usr/share/OVMF/OVMF_VARS_4M.fd",
      "/usr/share/OVMF/OVMF_CODE_4M.ms.fd": "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
      "/usr/share/OVMF/OVMF_CODE.fd": "/usr/share/OVMF/OVMF_VARS.fd",
    ]
  }

  static func read(_ os: Scan, _ name: VMName, _ machine: Domain.Boot.Machine) throws(DomainError) -> Domain.Firmware {
    let firmware = try os.choice("firmware", ["bios", "efi"])
    let loader = try os.child("loader")
    let nvram = try os.child("nvram")
    try loader?.allow(attributes: ["readonly", "type", "secure"], text: true)
    let type = try loader?.choice("type", ["rom", "pflash"]) ?? (loader == nil ? nil : "rom")
    guard firmware == "efi" || type == "pflash" else {
      if let nvram { throw nvram.error("needs firmware='efi' in <os>, or a <loader type='pflash'>") }
      try loader?.choice("secure", ["no"])
      return .bios(path: try loader?.filePath())
    }
    if let loader, firmware == "efi" {
      throw loader.error("firmware='efi' chooses the loader itself; keep one of both")
    }
    try loader?.choice("readonly", ["yes"], "its variables are in <nvram>")
    let code = try loader?.filePath() ?? OVMF.code
    let isSecure = try loader?.flag("secure") ?? false
    if isSecure, machine != .q35, let loader {
      throw loader.error(attribute: "secure", "needs the machine 'q35'")
    }
    let variables = try variables(nvram, name)
    guard let template = variables.template ?? OVMF.templates[code] else {
      throw (nvram ?? loader ?? os).error(
        attribute: nvram == nil ? nil : "template",
        "the image with which the variables begin is not known for this loader; write <nvram template='PATH' ...>")
    }
    guard let volume = variables.volume else {
      throw os.error("the name is too long for a volume '\(name)-nvram'; name one in <nvram>")
    }
    return .uefi(.init(code: code, template: template, variables: volume, isSecure: isSecure))
  }

  private static func variables(
    _ nvram: Scan?, _ name: VMName
  ) throws(DomainError) -> (template: String?, volume: VolumeName?) {
    let own = VolumeName(rawValue: "\(name)-nvram")
    guard let nvram else { return (nil, own) }
    try nvram.allow(attributes: ["template", "type"], children: ["source"], text: true)
    guard nvram.element.trimmedText.isEmpty else {
      throw nvram.error(
        "a file would be on one leg alone; remove the path, or write type='volume' and "
          + "<source pool='ftvs' volume='NAME'/>")
    }
    try nvram.choice("type", ["volume"])
    let template = nvram.attribute("template")
    if let template, !template.hasPrefix("/") {
      throw nvram.error(attribute: "template", "'\(template.prefix(80))' is not an absolute path")
    }
    guard let source = try nvram.child("source") else { return (template, own) }
    _ = try nvram.required("type")
    return (template, try SourceReader.volume(source))
  }
}
