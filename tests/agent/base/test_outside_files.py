"""What others wrote is read where it is unambiguous, and refused by one kind of error else."""

from __future__ import annotations

import base64
import codecs
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from effort import at_most
from keyrig.base.outside_files import (
    DEPTH_MAXIMUM,
    KEY_PARTS_MAXIMUM,
    TOML_MAXIMUM_OCTETS,
    Unreadable,
    parse_json,
    parse_toml,
    pem_of,
    read_octets,
    text_of,
    without_padding,
)

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "a = 'é'\nb = 2\n"
WRITTEN = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a byte order mark": codecs.BOM_UTF8 + TEXT.encode(),
    "Windows' lines": TEXT.replace("\n", "\r\n").encode(),
    "an old Mac's lines": TEXT.replace("\n", "\r").encode(),
    "Notepad's Unicode": codecs.BOM_UTF16_LE + TEXT.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16, most significant first": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "Ctrl-Z at the end": TEXT.encode() + b"\x1a",
    "a block filled up with Ctrl-Z": TEXT.encode() + b"\x1a" * 100,
    "a block filled up with NUL": TEXT.encode() + b"\0" * 100,
    "Ctrl-Z, then lines": TEXT.encode() + b"\x1a\r\n\0\0",
    "UTF-16 with a Ctrl-Z of one octet": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le") + b"\x1a",
    "UTF-16 with NULs": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le") + b"\0" * 7,
}


@pytest.mark.parametrize("octets", WRITTEN.values(), ids=WRITTEN.keys())
def test_text_is_the_same_whatever_system_wrote_it(octets: bytes) -> None:
    assert text_of(octets) == TEXT


@pytest.mark.parametrize(
    ("octets", "reason", "line"),
    [
        (b"a = 1\nb = '\xe9'\n", "no text in UTF-8", 2),
        (TEXT.encode("utf-16-le"), "no text in UTF-8", 1),
        ("a = 1\n".encode("utf-16-le"), "a NUL within", 1),
        (b"a = 1\r\nb\0 = 2\r\n", "a NUL within", 2),
        (codecs.BOM_UTF16_LE + b"\n\0\x00\xd8a\0", "no text in UTF-16", 2),
        (codecs.BOM_UTF16_LE + b"a\0b", "no text in UTF-16", 1),
        (b"\n\xed\xa0\x80", "no text in UTF-8", 2),
        (b"\x7fELF\x01\x00", "a NUL within|no text", 1),
    ],
)
def test_text_that_can_be_read_two_ways_is_refused_by_its_line(
    octets: bytes, reason: str, line: int
) -> None:
    if octets.startswith(b"\x7fELF"):
        octets += b"\x02"
    with pytest.raises(Unreadable, match=reason) as refused:
        text_of(octets)
    assert refused.value.line == line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_padding_is_taken_off_a_document_and_nothing_else(encoding: str) -> None:
    mark = codecs.BOM_UTF8 if encoding == "utf-8" else "\ufeff".encode(encoding)
    document = mark + "<a>é\r\n</a>".encode(encoding)
    assert without_padding(document) == document
    assert without_padding(document + "\r\n".encode(encoding)).endswith("\r\n".encode(encoding))
    assert without_padding(document + "\r\n\x1a\0\0".encode(encoding)) == document
    assert without_padding(document + b"\x1a") == document


def test_file_that_is_longer_than_it_may_be_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * 11)
    assert read_octets(path, maximum=11) == b"x" * 11
    with pytest.raises(Unreadable, match="more than 10 octets"):
        read_octets(path, maximum=10)
    with pytest.raises(Unreadable, match="Is a directory"):
        read_octets(tmp_path)
    with pytest.raises(Unreadable, match="NUL"):
        read_octets(tmp_path / "a\0b")
    with pytest.raises(Unreadable, match="No such file") as missing:
        read_octets(tmp_path / "none")
    assert missing.value.is_missing


def key_pem() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )


def test_pem_is_found_however_a_person_or_mail_program_keeps_it() -> None:
    pem = key_pem()
    lines = pem.decode().splitlines()
    long = "".join(lines[1:-1])
    for kept in (
        pem,
        pem.replace(b"\n", b"\r\n"),
        pem.replace(b"\n", b"\r"),
        b"Subject: your key\nBag attributes: none\n\n" + pem + b"-- \nregards\n",
        "Schlüssel\n".encode("latin-1") + pem,
        "\n".join(f"    {line}\u00a0 " for line in lines).encode(),
        "\n".join([lines[0], long, lines[-1]]).encode(),
        "\n".join([lines[0], *long, lines[-1]]).encode(),
        "\n\n".join(lines).encode(),
        "\n".join(lines).encode("utf-16"),
        codecs.BOM_UTF8 + pem + b"\x1a\0",
    ):
        assert pem_of(kept) == pem


def test_headers_of_an_encrypted_key_stay_and_der_is_left_alone() -> None:
    old = (
        b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,"
        + b"00" * 16
        + b"\n\n"
        + base64.encodebytes(bytes(range(48)))
        + b"-----END EC PRIVATE KEY-----\n"
    )
    assert pem_of(old.replace(b"\n", b"\n  ")).split() == old.split()
    assert b"\n\n" in pem_of(old)
    der = load_pem_private_key(key_pem(), None).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    for kept in (der, b"", b"-----BEGIN X-----\nAAAA", b"-----BEGIN A-----" * 4000):
        assert pem_of(kept) == kept


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (nested(DEPTH_MAXIMUM + 1), "nested deeper"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested deeper"),
        ("[" * 200_000, "nested deeper"),
        ("1" * 6000, "more than 64 bits"),
        ("[18446744073709551616]", "more than 64 bits"),
        ("[-9223372036854775809]", "more than 64 bits"),
        ("NaN", "no number"),
        ("[Infinity]", "no number"),
        ("-Infinity", "no number"),
        ("1e400", "too large"),
        ('{"a":1,"b":{"c":1,"c":1}}', "'c' stands twice"),
        ('"\\ud800"', "half a character"),
        ('{"\\udfff":1}', "half a character"),
        ('["\\udc00\\ud800"]', "half a character"),
        ('["a\\u0000"]', "with a NUL"),
        ('{"a":1', "not JSON"),
        ("", "not JSON"),
        ("{'a':1}", "not JSON"),
        ("[1] [2]", "not JSON"),
    ],
)
def test_json_that_the_agent_has_no_use_for_is_refused(text: str, reason: str) -> None:
    for written in (text, text.encode()):
        with pytest.raises(Unreadable, match=reason):
            parse_json(written)


def test_json_within_its_bounds_is_what_the_parser_makes_of_it() -> None:
    text = json.dumps({"é": [2**64 - 1, -(2**63), 1.5, True, None, "\U0001f600"], "x": {}})
    for octets in (text.encode(), codecs.BOM_UTF8 + text.encode() + b"\r\n\x1a"):
        assert parse_json(octets) == json.loads(text)
    assert parse_json(nested(DEPTH_MAXIMUM))
    with pytest.raises(Unreadable) as refused:
        parse_json(b'{\n"a": 1,\n}')
    assert refused.value.line == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (".".join("a" * (KEY_PARTS_MAXIMUM + 1)) + " = 1", "more than 32 parts"),
        (" . ".join(["'a'"] * 40) + " = 1", "more than 32 parts"),
        ("x = { " + ".".join("a" * 40) + " = 1 }", "more than 32 parts"),
        ("[" + ".".join(['"a.b"'] * 40) + "]", "more than 32 parts"),
        ("a = " + nested(DEPTH_MAXIMUM + 1), "nested deeper"),
        ("a = " + "{ a = " * 100 + "1" + "}" * 100, "nested deeper"),
        (".".join("a" * 20) + " = " + nested(DEPTH_MAXIMUM - 10), "nested deeper"),
        ("a = " + "1" * 6000, "more than 64 bits"),
        ("a = " + "1_1" * 1000, "more than 64 bits"),
        ("a = 0x" + "f" * 100, "more than 64 bits"),
        ("a = [1, { b = nan }]", "no number"),
        ("a = -inf", "no number"),
        ('a = "\\u0000"', "with a NUL"),
        ('"a\\u0000" = 1', "with a NUL"),
        ("a = 0001-01-01T00:00:00+14:00", "before the year 1"),
        ("a = 9999-12-31T23:00:00-14:00", "after 9999"),
        ("a = 1\na = 2", "not TOML"),
        ("#" * (TOML_MAXIMUM_OCTETS + 1), "more than"),
    ],
)
def test_toml_that_the_agent_has_no_use_for_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_toml(text)


def test_dots_and_brackets_in_texts_and_comments_count_for_nothing() -> None:
    odd = "." * 100 + "[" * 100 + "{" * 100
    text = (
        f'a = "{odd}\\"{odd}" # {odd} "\n'
        f"b = '{odd}' # '\n"
        f'c = """{odd}\n"{odd}""{odd}\\"""" \n'
        f"d = '''{odd}\n'{odd}''{odd}''''\n"
        f"[[e]]\n[[e]]\n[[e]]\n"
        + "".join(f"[e.x{i}]\nf = [1.5, [2.5]]\n" for i in range(DEPTH_MAXIMUM * 2))
    )
    assert parse_toml(text)["d"].endswith("'")
    assert len(parse_toml(text)["e"]) == 3


def longest(piece: str) -> str:
    return piece * ((TOML_MAXIMUM_OCTETS - 100) // len(piece))


HARD: dict[str, Any] = {
    "100,000 parts": ".".join(["a"] * 100_000) + " = 1",
    "quoted parts": ".".join(["'a'"] * 100_000) + " = 1",
    "parts in a header": "[" + ".".join(["a"] * 100_000) + "]",
    "brackets": "a = " + "[" * 500_000,
    "braces": "a = " + "{a=" * 300_000,
    "equals": longest("="),
    "dots": longest("."),
    "open text": 'a = """' + longest('\\"'),
    "quotes": 'a = """' + longest('""x'),
    "escapes": 'a = "' + longest("\\\\"),
    "spaces": longest(" ") + "[",
}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD.keys())
def test_toml_that_is_made_to_take_long_is_refused_soon(text: str) -> None:
    # Those of many parts end at once; what is quadratic in the largest takes hours.
    with at_most(2.0 if "a.a" in text or "'a'" in text else 20.0), pytest.raises(Unreadable):
        parse_toml(text)
