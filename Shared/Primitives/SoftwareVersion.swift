/// Version of the software, the same for all of its programs.
public let softwareVersion = "0.1.0"
