"""Choices that no text at hand confirms, and how the stand-in behaves; one name each."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from duis.duis_enumerations import SMIStatus
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import KeyrigError
from gbcs.roles import DeviceType

if TYPE_CHECKING:
    from collections.abc import Mapping

GBCS_VERSION: Final = "4.1"
"""What PreCommand/GBCSVersion says; no document at hand has an example."""

COMMISSION_MESSAGE_CODES: Final = {DeviceType.ESME: 0x0062, DeviceType.GSME: 0x007F}
"""Message Codes of ECS70 and GCS28, as remembered; their content here is the stand-in's own."""

CREDENTIALS_UPDATED_ALERT: Final = "N42"
DEVICE_SUSPENDED_ALERT: Final = "N28"
DEVICE_RESTORED_ALERT: Final = "N29"
DECOMMISSIONED_ALERT: Final = "N9"
"""Numbers of DCC alerts are remembered, not confirmed; who reads them goes by the payload."""

REPLAYED: Final = "E49"
"""For a request identifier that was used before."""
UNSUPPORTED: Final = "E100"
"""For a service reference that the stand-in does not know."""
WRONG_PRE_COMMAND: Final = "E57"
"""For a Signed Pre-Command that is not the Pre-Command, or not signed by its originator."""
CREDENTIALS_REFUSED: Final = {
    "6.15.1": "E061501",
    "6.15.2": "E061504",
    "6.21": "E062101",
    "6.23": "E062301",
}
"""For certificates that are none, or not what the request says they are."""
NOTHING_IN_INVENTORY: Final = "E080201"
"""For 8.2 that finds no device."""
INVENTORY_UPDATE_REFUSED: Final = "E080405"
"""For a change of the inventory that does not go with the device's type or status."""
DECOMMISSIONED_ALREADY: Final = "E080301"
"""For 8.3 of a device that is decommissioned."""
LOCAL_RESPONSE_UNREADABLE: Final = "E081301"
LOCAL_COMMAND_UNKNOWN: Final = "E081302"
LOCAL_RESPONSE_UNVERIFIED: Final = "E081303"
"""The three that 8.13 has. DUIS has all these codes; their meanings are not confirmed."""


class Refused(KeyrigError):
    """A request is refused.

    Args:
        response_code: What the user is told.
        reason: Why, for the stand-in's own log.
    """

    def __init__(self, response_code: str, reason: str) -> None:
        super().__init__(f"{response_code}: {reason}")
        self.response_code = response_code


class FutureDatedAlertForm(enum.Enum):
    """As what the alert of a future dated replacement reaches the user."""

    RESPONSE = "FutureDatedDeviceAlertMessage"
    """In a ResponseMessage that names the request."""
    ALERT = "DeviceAlertMessage"


class CertificateHashForm(enum.Enum):
    """What CertificateHash holds, which the schema types as SHA-1."""

    THUMBPRINT = "SHA-1 of the certificate"
    SUBJECT_KEY_IDENTIFIER = "subject key identifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class DCCParties:
    """Who the DCC is; by default the identifiers of the reference test data set.

    Args:
        access_control_broker: The broker, who is also the DSP that requests are sent to.
        transitional_cos: Signs 6.23's commands.
    """

    access_control_broker: EntityIdentifier = field(
        default_factory=lambda: EntityIdentifier.parse("90b3d51f30000002")
    )
    transitional_cos: EntityIdentifier = field(
        default_factory=lambda: EntityIdentifier.parse("90b3d51f30000004")
    )


def _barred() -> Mapping[str, frozenset[SMIStatus]]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInOptions:
    """How the stand-in behaves.

    Args:
        parties: Who the DCC is.
        answer_timeout: How long a device may take before the user is told E21.
        alert_timeout: How long after a future date a device's alert may take before E30.
        retry_interval: How long a document that was not taken waits for its next attempt.
        attempts_maximum: How often a document is sent before it is given up.
        api_key: What SMKI requests must carry in their query.
        barred_at: In which SMI Status a request for a device is refused with E5.
        barred_for: The same for single service reference variants, in the place of the former.
        future_dated_alert: As what such an alert reaches the user.
        certificate_hash: What CertificateHash holds.
        local_unavailable: Service reference variants that give no command for local delivery.
    """

    parties: DCCParties = field(default_factory=DCCParties)
    answer_timeout: timedelta = timedelta(seconds=5)
    alert_timeout: timedelta = timedelta(hours=1)
    retry_interval: timedelta = timedelta(seconds=1)
    attempts_maximum: int = 10
    api_key: str = field(default="stand-in", repr=False)
    barred_at: frozenset[SMIStatus] = frozenset(
        {SMIStatus.PENDING, SMIStatus.DECOMMISSIONED, SMIStatus.WITHDRAWN}
    )
    barred_for: Mapping[str, frozenset[SMIStatus]] = field(default_factory=_barred)
    future_dated_alert: FutureDatedAlertForm = FutureDatedAlertForm.RESPONSE
    certificate_hash: CertificateHashForm = CertificateHashForm.THUMBPRINT
    local_unavailable: frozenset[str] = frozenset({"6.21", "6.23"})
