"""Making sure, before anything irreversible, that the right device is on a line.

A device answers only commands for its own Entity Identifier, and its answer carries a MAC that
only it can make; so the first exchange on a line reads every trust anchor cell that the device
has, by the broker's authority, and nothing else is sent before it has verified.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.roles import DeviceType, RemotePartyRole
from keyrig.session.steps.effects import StepResult
from keyrig.session.steps.reading_cells import read_cells

if TYPE_CHECKING:
    from keyrig.session.steps.effects import Script
    from keyrig.session.steps.step_context import StepContext

_HUB_ROLES: Final = (
    RemotePartyRole.ROOT,
    RemotePartyRole.RECOVERY,
    RemotePartyRole.ACCESS_CONTROL_BROKER,
    RemotePartyRole.WAN_PROVIDER,
)
_HOME_ROLES: Final = (
    RemotePartyRole.ROOT,
    RemotePartyRole.RECOVERY,
    RemotePartyRole.SUPPLIER,
    RemotePartyRole.NETWORK_OPERATOR,
    RemotePartyRole.ACCESS_CONTROL_BROKER,
    RemotePartyRole.TRANSITIONAL_COS,
)


def roles_of(device_type: DeviceType) -> tuple[RemotePartyRole, ...]:
    """Return the roles to ask a device of a type for; it may hold fewer.

    Source: RTDS 4.5.0 for ESME and CHF; assumed for the others.
    """
    return _HUB_ROLES if device_type is DeviceType.CHF else _HOME_ROLES


def identify(context: StepContext) -> Script:
    """Read every cell that the device has; only the device itself can answer."""
    read = yield from read_cells(context, *roles_of(context.facts.device_type))
    return StepResult(f"{len(read.cells)} trust anchor cells read", (read.exchange_id,))
