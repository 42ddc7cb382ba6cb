"""Hosts: they put an emulated device on a line and speak its framing."""

from meterstub.hosts.line_host import Framing, HostFailed, LineHost, Station
from meterstub.hosts.pty_host import PtyHost
from meterstub.hosts.tcp_host import TCPHost

__all__ = ["Framing", "HostFailed", "LineHost", "PtyHost", "Station", "TCPHost"]
