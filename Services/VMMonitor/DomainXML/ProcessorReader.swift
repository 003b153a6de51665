import Primitives

/// Reads `<vcpu>` and `<cpu>`.
enum ProcessorReader {
  static func topology(of domain: Scan) throws(DomainError) -> Domain.Topology {
    var cpus: Int64 = 1
    if let element = try domain.child("vcpu") {
      try element.allow(attributes: ["placement"], text: true)
      try element.choice("placement", ["static"])
      cpus = try element.number(in: DomainReader.Limits.cpus)
    }
    guard let element = try domain.child("cpu")?.child("topology") else {
      return Domain.Topology(sockets: Int(cpus), cores: 1, threads: 1)
    }
    try element.allow(attributes: ["sockets", "dies", "cores", "threads"])
    for name in ["sockets", "cores", "threads"] { _ = try element.required(name) }
    var parts: [Int] = []
    for name in ["sockets", "dies", "cores", "threads"] {
      parts.append(Int(try element.number(attribute: name, in: DomainReader.Limits.cpus) ?? 1))
    }
    let topology = Domain.Topology(sockets: parts[0], dies: parts[1], cores: parts[2], threads: parts[3])
    guard topology.cpus == Int(cpus) else {
      throw element.error("sockets * dies * cores * threads is \(topology.cpus), but <vcpu> says \(cpus)")
    }
    return topology
  }

  static func processor(of domain: Scan) throws(DomainError) -> Domain.Processor {
    guard let element = try domain.child("cpu") else { return Domain.Processor() }
    try element.allow(
      attributes: ["mode", "match", "check", "migratable"], children: ["model", "topology", "feature"])
    try element.choice("match", ["exact"])
    let check = try element.choice("check", ["none", "full"])
    try element.choice("migratable", ["on"])
    let isEnforced = check == "full"
    return Domain.Processor(
      model: try model(of: element), features: try features(of: element, isEnforced), isEnforced: isEnforced)
  }

  private static func model(of element: Scan) throws(DomainError) -> Domain.Processor.Model {
    let mode = try element.choice("mode", ["custom", "host-passthrough", "host-model", "maximum"])
    guard let model = try element.child("model") else {
      if mode == "custom" { throw element.error("mode 'custom' needs a <model>") }
      // The guest never leaves this host: the nearest model that others know would only take features away.
      return mode == "host-passthrough" || mode == "host-model" ? .host : .best
    }
    try model.allow(attributes: ["fallback"], text: true)
    try model.choice("fallback", ["forbid"])
    guard mode == nil || mode == "custom" else { throw model.error("a model needs mode='custom'") }
    let name = try model.text(limit: 64)
    guard Scan.isPlain(name) else { throw model.error("'\(name)' is not the name of a processor model") }
    return .named(name)
  }

  private static func features(
    of element: Scan, _ isEnforced: Bool
  ) throws(DomainError) -> [Domain.Processor.Feature] {
    var features: [Domain.Processor.Feature] = []
    for feature in element.children("feature") {
      try feature.allow(attributes: ["policy", "name"])
      let name = try feature.required("name")
      guard Scan.isPlain(name), name.utf8.count <= 64 else {
        throw feature.error(attribute: "name", "'\(name.prefix(64))' is not the name of a feature")
      }
      guard !features.contains(where: { $0.name == name }) else {
        throw feature.error("the feature '\(name)' is there twice")
      }
      let policy = try feature.choice("policy", ["require", "optional", "disable"]) ?? "require"
      // QEMU refuses to start without a feature only when it refuses all that are missing.
      guard policy != "require" || isEnforced else {
        throw feature.error(
          attribute: "policy", "'require' needs check='full' in <cpu>; write that, or policy='optional' here")
      }
      features.append(.init(name: name, isOn: policy != "disable"))
      guard features.count <= DomainReader.Limits.features else {
        throw feature.error("there are more than \(DomainReader.Limits.features) features")
      }
    }
    return features
  }
}
