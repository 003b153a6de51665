"""Faults of legs under a running guest: what is injected, the host that must survive it, and the cases."""
