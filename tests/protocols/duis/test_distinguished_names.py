"""Names in every form of RFC 4514, against the names that certificates have."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from duis.distinguished_names import DistinguishedName


def name(*parts: list[tuple[str, str | bytes]]) -> DistinguishedName:
    """Make a name, the root's part first."""
    return DistinguishedName.of(
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(
                            x509.ObjectIdentifier(kind),
                            value,
                            _type=_ASN1Type.BitString if isinstance(value, bytes) else None,
                        )
                        for kind, value in part
                    ]
                )
                for part in parts
            ]
        )
    )


CN, OU, ORG, C = "2.5.4.3", "2.5.4.11", "2.5.4.10", "2.5.4.6"
DC, UID, SERIAL = "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1", "2.5.4.5"


# The examples of RFC 4514, 4, and of RFC 2253, 5.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UID=jsmith,DC=example,DC=net", name([(DC, "net")], [(DC, "example")], [(UID, "jsmith")])),
        (
            "OU=Sales+CN=J.  Smith,DC=example,DC=net",
            name([(DC, "net")], [(DC, "example")], [(OU, "Sales"), (CN, "J.  Smith")]),
        ),
        (
            r"CN=James \"Jim\" Smith\, III,DC=example,DC=net",
            name([(DC, "net")], [(DC, "example")], [(CN, 'James "Jim" Smith, III')]),
        ),
        (r"CN=Before\0dAfter,DC=example", name([(DC, "example")], [(CN, "Before\rAfter")])),
        (r"CN=Lu\C4\8Di\C4\87", name([(CN, "Lu\u010di\u0107")])),
        ("CN=Lu\u010di\u0107", name([(CN, "Lu\u010di\u0107")])),
        ("CN=Lu\u010dic\u0301", name([(CN, "Lu\u010di\u0107")])),
        (
            'CN=L. Eagle,O="Sue, Grabbit and Runn",C=GB',
            name([(C, "GB")], [(ORG, "Sue, Grabbit and Runn")], [(CN, "L. Eagle")]),
        ),
        (
            r"CN=L. Eagle;O=Sue\, Grabbit and Runn;C=GB",
            name([(C, "GB")], [(ORG, "Sue, Grabbit and Runn")], [(CN, "L. Eagle")]),
        ),
        (r"CN=a\2Cb", name([(CN, "a,b")])),
        (r"CN=\ a\ ", name([(CN, "a")])),
        (r"CN=\#a", name([(CN, "#a")])),
        ("CN=a=b#c", name([(CN, "a=b#c")])),
        (r'CN="a\"b\\c"', name([(CN, 'a"b\\c')])),
        ('CN="a,b+c;d<e>"', name([(CN, "a,b+c;d<e>")])),
        ("CN=a+2.5.4.5=#0C0137", name([(CN, "a"), (SERIAL, "7")])),
        ("2.5.4.5=7+CN=a", name([(CN, "a"), (SERIAL, "7")])),
        (
            "2.5.4.45=#0309000090B3D51F300000",
            name([("2.5.4.45", bytes.fromhex("000090B3D51F300000"))]),
        ),
        ("x500UniqueIdentifier=#03020001", name([("2.5.4.45", b"\x00\x01")])),
        ("emailAddress=A@B.example", name([("1.2.840.113549.1.9.1", "a@b.example")])),
    ],
)
def test_text_means_the_name(text: str, expected: DistinguishedName) -> None:
    assert DistinguishedName.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ",", "CN", "CN=a,", "CN=a,,OU=b", "CN=a+", "=a", "XYZ=a", "2=a", "2.5.04.3=a",
        "CN=#", "CN=#0", "CN=#0C", "CN=#0C0261", "CN=#0C01610C0162", "CN=#0C01FF", "CN=#0C0161 x",
        'CN="a', 'CN="a"b', 'CN=a"b', "CN=a<b", "CN=a\x00b", "CN=a\\", "CN=\\z", "CN=\\ff",
        "CN=a+CN=a", "CN=" + "x" * 510, "/CN=a", "OID.=a", "OID.2.5.4.3.=a",
    ],
)  # fmt: skip
def test_text_that_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"at character \d+|more than 512 characters"):
        DistinguishedName.parse(text)


def test_order_of_parts_means_something_and_of_attributes_nothing() -> None:
    one = DistinguishedName.parse("CN=a,OU=b")
    assert one != DistinguishedName.parse("OU=b,CN=a")
    assert one.reversed == DistinguishedName.parse("OU=b,CN=a")
    assert DistinguishedName.parse("CN=a+OU=b") == DistinguishedName.parse("OU=b+CN=a")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(common_name=TEXTS, unit=TEXTS)
def test_what_another_writer_writes_is_the_name(common_name: str, unit: str) -> None:
    made = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    assert DistinguishedName.parse(made.rfc4514_string()) == DistinguishedName.of(made)


@given(st.text(max_size=40))
def test_no_text_does_anything_but_be_refused_or_read(text: str) -> None:
    try:
        DistinguishedName.parse(text)
    except ValueError as error:
        assert "at character" in str(error)  # noqa: PT017 - either is right
