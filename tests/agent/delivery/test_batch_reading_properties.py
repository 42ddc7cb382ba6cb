from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from authorities import DEVICE
from duis.document_errors import DocumentInvalid
from gbcs.protocol_errors import SecurityError
from homes.delivery_site import NOON, WEEK
from keyrig.base.errors import SettingsError
from keyrig.delivery.batch_reading import commands_in
from keyrig.delivery.batch_validation import Expiry, check_batch
from keyrig.delivery.public_certificates import PublicCertificates

from .test_batch_reading import COMMAND, DOCUMENT


def take(octets: bytes) -> None:
    """Read and check what is handed over; anything but the project's own refusals is a fault."""
    try:
        check_batch(
            commands_in(octets, "a file"),
            device=DEVICE,
            certificates=PublicCertificates(),
            expiry=Expiry(at=None, valid_for=WEEK),
            now=NOON,
        )
    except (SettingsError, DocumentInvalid, SecurityError) as error:
        assert "\n" not in str(error)  # noqa: PT017 - one line, whatever was handed over


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_is_handed_over_is_taken_or_refused_in_one_line(octets: bytes) -> None:
    take(octets)


@settings(max_examples=200)
@given(st.integers(0, len(COMMAND) * 8 - 1), st.booleans())
def test_command_with_any_bit_flipped_is_taken_or_refused(bit: int, as_hex: bool) -> None:  # noqa: FBT001 - drawn
    octets = bytearray(COMMAND)
    octets[bit // 8] ^= 1 << bit % 8
    take(bytes(octets).hex().encode() if as_hex else bytes(octets))


@settings(max_examples=200)
@given(st.integers(0, len(DOCUMENT) - 1), st.binary(min_size=1, max_size=3))
def test_document_with_any_octets_changed_is_taken_or_refused(at: int, octets: bytes) -> None:
    document = bytearray(DOCUMENT.encode())
    document[at : at + len(octets)] = octets
    take(bytes(document))
