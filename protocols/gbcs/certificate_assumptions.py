"""Choices where no text at hand confirms GBCS: one name each, to be changed here alone."""

from __future__ import annotations

from typing import Final

ACCEPTED_CERTIFICATE_POLICIES: Final[frozenset[str] | None] = None
"""Policy identifiers, dotted, of which a certificate must carry one; None accepts any.

The identifiers of the live environments are unconfirmed; only the test set's were seen."""

POLICY_QUALIFIERS_ACCEPTED: Final = True
"""Whether a certificate policy may carry qualifiers, such as the address of its statement.

The test set's have none; those of the live environments are unconfirmed. A qualifier must be DER
and is used for nothing."""

TEST_CERTIFICATE_POLICY: Final = "1.2.826.0.1.8641679.1.2.1.4"
"""Policy of organisation and authority certificates in RTDS 4.5.0, put in those issued here."""

TEST_DEVICE_CERTIFICATE_POLICY: Final = "1.2.826.0.1.1800000.1.2.1.4"
"""Policy of device certificates in RTDS 4.5.0, put in those issued here."""

HARDWARE_TYPE: Final = "1.2.826.0.1.8641679.1.2.2.1"
"""hwType of devices' HardwareModuleName in RTDS 4.5.0; written, but any is accepted."""
