"""The key that signs a party's DUIS documents: its XML-signing key, or a named one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.roles import KeyUsage
from keyrig.base.errors import KeyStoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import Signer
    from keyrig.keys.key_store import KeyStore, StoredCertificate

SETTING: Final = "duis.signing_certificates"


def xml_signing_key(
    store: KeyStore, party: EntityIdentifier, named: int | None
) -> tuple[Signer, GBCSCertificate]:
    """Return the signer of the DUIS documents of `party`, and its certificate.

    It is the party's XML-signing key where the store has one; of several, the one that is
    named; without any, the digital signature key that is named. Nothing goes by age: the DCC
    knows a party's documents by one certificate, and which is not written in any of them.

    Args:
        store: The key store.
        party: The signing party.
        named: The serial number that the settings name for it, or None.

    Raises:
        KeyStoreError: There is none, or none of several is named; or the key cannot be used.
    """
    own = [each for each in store.xml_signing_certificates(party) if each.has_private_key]
    if len(own) == 1:
        (found,) = own
    elif own:
        found = _named(store, party, own, named)
    else:
        held = [
            each
            for each in store.stored()
            if each.has_private_key
            and each.authority is None
            and each.certificate.entity_id == party
            and each.certificate.key_usage == KeyUsage.DIGITAL_SIGNATURE
        ]
        found = _named(store, party, held, named)
    return store.signer(party, certificate=found.certificate), found.certificate


def _named(
    store: KeyStore, party: EntityIdentifier, held: list[StoredCertificate], named: int | None
) -> StoredCertificate:
    found = [each for each in held if each.certificate.serial == named]
    if len(found) == 1:
        return found[0]
    own = [each for each in held if each.certificate.signs_xml]
    has = f"{len(own)} XML-signing keys" if own else "no XML-signing key"
    if named is not None:
        has += f" and {'two keys' if found else 'no key'} with serial number {named:x}"
    mend = f"name a certificate by its serial number in {SETTING}"
    if held:
        mend += f" ({_serials(held)})"
    if not own:
        mend = f"import one, or {mend}" if held else "import one with `keyrig pki import`"
    raise KeyStoreError(store.location, f"{party} has {has}", mend)


def _serials(held: Iterable[StoredCertificate]) -> str:
    return ", ".join(sorted(f"{each.certificate.serial:x}" for each in held))
