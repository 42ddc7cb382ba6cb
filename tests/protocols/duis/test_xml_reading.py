from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lxml import etree

from duis.document_errors import DocumentInvalid
from duis.xml_reading import (
    ATTRIBUTES_MAXIMUM,
    DEPTH_MAXIMUM,
    ELEMENTS_MAXIMUM,
    OCTETS_MAXIMUM,
    TEXT_MAXIMUM_CHARACTERS,
    read_xml,
)

if TYPE_CHECKING:
    from pathlib import Path

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
        (b"<a>" + b"<b/>" * ELEMENTS_MAXIMUM + b"</a>", "more than 20000 elements"),
        (b"<a>" + b"x" * (TEXT_MAXIMUM_CHARACTERS + 1) + b"</a>", "a text of more than"),
        (b"<a b='" + b"x" * (TEXT_MAXIMUM_CHARACTERS + 1) + b"'/>", "an attribute of more than"),
        (b"<a " + b" ".join(b"b%d=''" % n for n in range(ATTRIBUTES_MAXIMUM + 1)) + b"/>", "16 a"),
        (b"<a b='' b=''/>", "not XML"),
        (b"<?php x ?><a/>", "processing instruction"),
        (b"<a><?b c?></a>", "processing instruction"),
        (b"<a/><?b c?>", "processing instruction"),
        (b"<a>&b;</a>", "not XML"),
        (b"<a b='&c;'/>", "not XML"),
        (b"<a/><a/>", "not XML"),
        (b"<b:a/>", "not XML"),
        (b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xe9</a>", "encoded in iso-8859-1"),
        (b"<?xml version='1.0' encoding='utf-7'?><a/>", ""),
        ("<a/>".encode("utf-32"), "encoded in UTF-32"),
    ],
)
def test_hostile_document_is_refused_in_one_line(octets: bytes, told: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        read_xml(octets, "x.xml")
    assert str(caught.value).startswith("x.xml: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert "root:" not in str(caught.value)


def test_document_as_deep_as_allowed_is_read() -> None:
    assert read_xml(b"<a>" * DEPTH_MAXIMUM + b"</a>" * DEPTH_MAXIMUM, "x").tag == "a"


def test_document_with_as_many_elements_as_allowed_is_read() -> None:
    children = b"<b/>" * (ELEMENTS_MAXIMUM - 1)
    assert len(read_xml(b"<a>" + children + b"</a>", "x")) == ELEMENTS_MAXIMUM - 1


def test_text_on_both_sides_of_a_comment_is_one_text() -> None:
    root = read_xml(
        "<?xml version='1.0' encoding='utf-16'?><a>1<!-- 2 -->3</a>".encode("utf-16"), "x"
    )
    assert root.text == "13"
    assert len(root) == 0


def test_file_that_a_document_points_to_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<b>secret</b>")
    include = f'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{secret}"/></a>'
    assert b"secret</b>" not in etree.tostring(read_xml(include.encode(), "x"))
