import RPC

/// Failures of this service, beside the common ones. Codes are stable; new ones are added at the end.
public enum VMFailure: Int, RPCFailure {
  case noSuchVM = 2001
  case vmExists
  case badDefinition
  case wrongState
  case noModuleInService
  case engineFailed
  case storageUnavailable
  case limitReached
  case savedStateUnusable
  case outOfSpace
  case definitionChanged = 2011
  case noSuchVersion
  case agentUnavailable

  public var summary: String {
    switch self {
    case .noSuchVM: "No virtual machine has that name."
    case .vmExists: "Another virtual machine has that name or identifier."
    case .badDefinition:
      "The definition is not valid domain XML, or asks for what is not supported; the data names element and line."
    case .wrongState: "The virtual machine's state does not allow this."
    case .noModuleInService: "No CPU module is in service that could carry it."
    case .engineFailed: "The process that runs the virtual machine could not be started or did not answer."
    case .storageUnavailable: "A disk could not be exported."
    case .limitReached: "The host holds as many virtual machines as it can."
    case .savedStateUnusable: "The saved memory cannot be used: it is damaged, or a disk has changed since."
    case .outOfSpace: "No leg has room for the virtual machine's memory."
    case .definitionChanged: "The definition was changed meanwhile, or differently on the two legs."
    case .agentUnavailable: "The guest has no agent, or it does not answer or do what it was asked for."
    case .noSuchVersion: "The definition has no such version, or it is no longer kept."
    }
  }
}
