import pytest

from gbcs.roles import CellUsage, DeviceType, KeyUsage, RemotePartyRole


def test_roles_have_their_wire_values_and_asn1_names() -> None:
    assert {int(role): role.gbcs_name for role in RemotePartyRole} == {
        0: "root",
        1: "recovery",
        2: "supplier",
        3: "networkOperator",
        4: "accessControlBroker",
        5: "transitionalCoS",
        6: "wanProvider",
        7: "issuingAuthority",
        8: "loadController",
        127: "other",
    }


def test_key_usages_have_the_bits_of_x509() -> None:
    assert {int(usage).bit_length() - 1: usage.gbcs_name for usage in KeyUsage} == {
        0: "digitalSignature",
        1: "nonRepudiation",
        2: "keyEncipherment",
        3: "dataEncipherment",
        4: "keyAgreement",
        5: "keyCertSign",
        6: "cRLSign",
        7: "encipherOnly",
        8: "decipherOnly",
    }


@pytest.mark.parametrize(
    ("usage", "name"),
    [(KeyUsage.KEY_CERT_SIGN | KeyUsage.CRL_SIGN, "keyCertSign+cRLSign"), (KeyUsage(0), "none")],
)
def test_several_usages_or_none_are_named(usage: KeyUsage, name: str) -> None:
    assert usage.gbcs_name == name


def test_device_types_have_their_wire_values() -> None:
    assert [(kind.value, kind.gbcs_value) for kind in DeviceType] == [
        ("GSME", 0),
        ("ESME", 1),
        ("CHF", 2),
        ("GPF", 3),
        ("HCALCS", 4),
        ("PPMID", 5),
    ]


def test_cell_usages_have_their_wire_values() -> None:
    assert [int(usage) for usage in CellUsage] == [0, 1]
