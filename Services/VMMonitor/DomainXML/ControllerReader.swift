/// Reads `<controller>`: those that a machine has anyway, in the form that other tools write, and those that are added.
enum ControllerReader {
  struct Controllers {
    var hasSCSI = false
    fileprivate var usb: USB?

    /// The USB controller that the inputs ask for.
    func usb(for inputs: [Domain.Input], _ devices: Scan) throws(DomainError) -> Domain.USBController? {
      let needsOne = inputs.contains { $0.bus == .usb }
      switch usb {
      case .none?:
        guard !needsOne else {
          throw devices.error("an input on bus 'usb' needs a controller; remove that of model 'none'")
        }
        return nil
      case .some(let controller)?: return controller
      case nil: return needsOne ? .xhci : nil
      }
    }
  }

  fileprivate enum USB {
    case none
    case some(Domain.USBController)
  }

  /// Models of each type; nil where the type needs none.
  private static let models: [String: [String]] = [
    "pci": ["pci-root", "pcie-root"], "usb": ["none", "qemu-xhci", "piix3-uhci"], "scsi": ["virtio-scsi"],
    "sata": ["ich9-ahci"], "ide": ["piix3"], "fdc": [], "virtio-serial": [],
  ]

  static func read(_ devices: Scan) throws(DomainError) -> Controllers {
    var result = Controllers()
    var seen: Set<String> = []
    for controller in devices.children("controller") {
      try controller.allow(attributes: ["type", "index", "model"])
      let type = try controller.required("type")
      try controller.choice("type", models.keys.sorted())
      try controller.choice("index", ["0"])
      guard seen.insert(type).inserted else { throw controller.error("there is more than one of type '\(type)'") }
      if let models = models[type], !models.isEmpty { try controller.choice("model", models) }
      if models[type]?.isEmpty == true, controller.attribute("model") != nil {
        throw controller.error(attribute: "model", "is not supported; remove it")
      }
      let model = controller.attribute("model")
      switch type {
      case "pci", "usb", "scsi":
        guard let model else { throw controller.error("the attribute 'model' is missing") }
        if type == "scsi" { result.hasSCSI = true }
        if type == "usb" { result.usb = Domain.USBController(rawValue: model).map { .some($0) } ?? USB.none }
      default: break
      }
    }
    return result
  }
}
