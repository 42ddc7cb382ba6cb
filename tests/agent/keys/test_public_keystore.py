"""The public `keystore.json` of DCC Boxed's clients, where `make test` could fetch it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import KeyUsage, RemotePartyRole, XMLSigningRole
from keyrig.keys.store_copying import import_
from keyrig.keys.store_opening import open_keystore
from keyrig.keys.xml_signing_keys import xml_signing_key

FOLDER = Path(__file__).parents[3] / "build" / "public-keystore"
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
SIGNERS = {
    "00db123456780004": XMLSigningRole.XML_SIGN,
    "90b3d51f30000002": XMLSigningRole.DSP_XML_SIGN,
    "90b3d51f30010000": XMLSigningRole.XML_SIGN,
    "90b3d51f30020000": XMLSigningRole.XML_SIGN,
}
UNREADABLE = "90b3d51f30010009"
"""Whose two certificates have NULL parameters."""


@pytest.mark.skipif(
    not (FOLDER / "keystore.json").exists(), reason="@smartdcc/dccboxed-keystore was not fetched"
)
def test_every_certificate_is_imported_or_refused_for_a_true_reason(tmp_path: Path) -> None:
    report = import_(FOLDER / "keystore.json", tmp_path / "pki")
    assert len(report.copied) == 31
    assert len(report.refused) == 2
    for reason in report.refused:
        assert reason.startswith(UNREADABLE)
        assert "tbs_cert.signature_alg" in reason
        assert "NULL parameters" in reason
    store = open_keystore(tmp_path / "pki")
    assert store.problems == ()
    for stem, role in SIGNERS.items():
        party = EntityIdentifier.parse(stem)
        (stored,) = store.xml_signing_certificates(party)
        assert stored.certificate.role is role
        assert xml_signing_key(store, party, None)[1] == stored.certificate
    certificate = store.certificate(SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE)
    assert certificate.role is RemotePartyRole.SUPPLIER
