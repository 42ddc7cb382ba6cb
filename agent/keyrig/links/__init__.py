"""Links: whole GBCS messages to one device and back, over any port."""

from keyrig.links.base import Link, LinkStatistics
from keyrig.links.gfi import GFILink
from keyrig.links.hdlc import HDLCLink
from keyrig.links.port import Port

__all__ = ["GFILink", "HDLCLink", "Link", "LinkStatistics", "Port"]
