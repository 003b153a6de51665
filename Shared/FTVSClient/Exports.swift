// One import is enough for a program that uses a host.
@_exported import AlertAPI
@_exported import HardwareAPI
@_exported import Primitives
@_exported import RPC
@_exported import RPCSocket
@_exported import ServiceAPI
@_exported import StorageAPI
@_exported import VMAPI
