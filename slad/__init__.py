"""slad: the SLA clocks of a service desk, as a sidecar."""

__version__ = "0.1.0"
