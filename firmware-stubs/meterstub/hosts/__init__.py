"""Hosts: they put an emulated device on a line and speak its framing."""

from meterstub.hosts.base import Framing, HostFailed, LineHost, Station
from meterstub.hosts.pty import PtyHost
from meterstub.hosts.tcp import TCPHost

__all__ = ["Framing", "HostFailed", "LineHost", "PtyHost", "Station", "TCPHost"]
