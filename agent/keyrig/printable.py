"""Making text that came from outside safe to print; where the agent finds `gbcs.printable`."""

from __future__ import annotations

from gbcs.printable import printable

__all__ = ["printable"]
