from __future__ import annotations

import pytest

from duis.errors import DocumentInvalid
from duis.xml_reading import DEPTH_MAXIMUM, OCTETS_MAXIMUM, read_xml

LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "ha">' for n in range(10)
)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "not XML"),
        (b"<a>", "not XML"),
        (b"\xff\xfe\x00", "not XML"),
        (f"<!DOCTYPE a [{LAUGHS}]><a>&l9;</a>".encode(), ""),
        (f"<!DOCTYPE a [{LAUGHS}]><a>&l9;</a>".encode("utf-16"), ""),
        (b"<!DOCTYPE a><a/>", "declares a document type"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>', "declares a document type"),
        (
            b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>',
            "declares a document type",
        ),
        (b"<a>" * (DEPTH_MAXIMUM + 1) + b"</a>" * (DEPTH_MAXIMUM + 1), "nest deeper than 64"),
        (b"<a>" * 100_000, ""),
        (b"<a>" + b" " * OCTETS_MAXIMUM + b"</a>", "octets, where"),
    ],
)
def test_hostile_document_is_refused_in_one_line(octets: bytes, told: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        read_xml(octets, "x.xml")
    assert str(caught.value).startswith("x.xml: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "root:" not in str(caught.value)


def test_document_as_deep_as_allowed_is_read() -> None:
    assert read_xml(b"<a>" * DEPTH_MAXIMUM + b"</a>" * DEPTH_MAXIMUM, "x").tag == "a"
