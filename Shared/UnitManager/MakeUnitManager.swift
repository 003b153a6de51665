import HostConfiguration

/// The unit manager of this host: systemd, or the lab where the configuration names its socket.
public func makeUnitManager(_ configuration: HostConfiguration) async throws(UnitError) -> any UnitManager {
  if let labSocket = configuration.labSocket { return LabUnitManager(socketPath: labSocket) }
  return SystemdUnitManager()
}
