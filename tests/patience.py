"""How long a test waits for what must happen."""

from __future__ import annotations

from typing import Final

HANG_S: Final = 300.0
"""After so many seconds something hangs; nothing is decided by how long it took before."""
