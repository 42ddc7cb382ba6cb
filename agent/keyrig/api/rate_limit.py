"""The rate limit for clients that present wrong tokens.

A token is checked before the limit is applied, so that a right one is never locked out by the
failures of other clients with the same address: on the loopback address all have the same. A
token's 256 bits cannot be guessed; the limit is against the work and the log that guesses make.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FREE_FAILURES: Final = 5
"""How many wrong tokens an address may present before the limit applies."""
LONGEST_S: Final = 60.0
FORGOTTEN_AFTER_S: Final = 600.0
ADDRESSES_MAXIMUM: Final = 4096
_NETWORK_BITS: Final = 64


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_at: float = 0.0
    wait_until: float = 0.0


class SlowDown:
    """Counts wrong tokens for each address; the number of addresses kept is bounded.

    Args:
        monotonic: Returns seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def failed(self, address: str) -> tuple[float, int]:
        """Count a wrong token.

        Returns:
            How many seconds the address must wait, 0 while it need not; and how many wrong
            tokens it has presented.
        """
        now = self._monotonic()
        place = _network(address)
        known = self._failures.pop(place, None)
        if known is None or now - known.last_at > FORGOTTEN_AFTER_S:
            known = _Failures()
        self._failures[place] = known
        if len(self._failures) > ADDRESSES_MAXIMUM:
            self._failures.popitem(last=False)
        is_waiting = now < known.wait_until
        known.count, known.last_at = known.count + 1, now
        if known.count > FREE_FAILURES and not is_waiting:
            doublings = min(known.count - FREE_FAILURES - 1, 30)
            known.wait_until = now + min(2.0**doublings, LONGEST_S)
        return max(known.wait_until - now, 0.0), known.count

    def __len__(self) -> int:
        return len(self._failures)


def _network(address: str) -> str:
    """Return the network that an address is counted by: of IPv6, what one host commonly has."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(read, IPv6Address):
        if read.ipv4_mapped is not None:
            return str(read.ipv4_mapped)
        return f"{int(read) >> _NETWORK_BITS:x}/{_NETWORK_BITS}"
    return str(read)
