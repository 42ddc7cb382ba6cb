import enum
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gbcs.der import (
    MAXIMUM_DEPTH,
    Choice,
    Codec,
    Encoded,
    Enumerated,
    GeneralizedTime,
    Implicit,
    Integer,
    NamedBits,
    NamedInteger,
    Null,
    OctetString,
    SequenceOf,
    Structure,
    decode,
    element,
    encode,
    encode_length,
    sequence,
    with_minimal_lengths,
)
from gbcs.protocol_errors import DecodeError, LocalProtocolError


class Colour(enum.IntEnum):
    RED = 0
    BLUE = 200


class Bits(enum.IntFlag):
    FIRST = 1
    SECOND = 2
    NINTH = 256


@sequence
class Pair:
    first: int = element(Integer(maximum=1000))
    second: int = element(Integer(maximum=1000), default=7)
    third: bytes | None = element(Implicit(0, OctetString(2)), default=None)


@sequence
class Outer:
    pairs: tuple[Pair, ...] = element(SequenceOf(Structure(Pair)))


PAIR = Structure(Pair)
OUTER = Structure(Outer)


def refusal(codec: Codec[Any], octets: str, *, lenient: bool = False) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(codec, bytes.fromhex(octets), lenient_lengths=lenient)
    return str(caught.value)


@pytest.mark.parametrize(
    ("length", "octets"),
    [
        (0, "00"),
        (127, "7F"),
        (128, "8180"),
        (255, "81FF"),
        (256, "820100"),
        (65_535, "82FFFF"),
        (65_536, "83010000"),
    ],
)
def test_length_takes_the_fewest_octets(length: int, octets: str) -> None:
    assert encode_length(length).hex().upper() == octets


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, "020100"),
        (127, "02017F"),
        (128, "02020080"),
        (5000, "02021388"),
        (0x8F66, "0203008F66"),
        (-1, "0201FF"),
        (-128, "020180"),
        (-129, "0202FF7F"),
    ],
)
def test_integer_is_minimal_twos_complement(value: int, octets: str) -> None:
    codec = Integer(minimum=-1000, maximum=100_000)
    assert encode(codec, value).hex().upper() == octets
    assert decode(codec, bytes.fromhex(octets)).value == value


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        ("0200", "ASN.1: an INTEGER without contents, at octet 2"),
        ("02020001", "ASN.1: an INTEGER that is padded, at octet 2 (0001)"),
        ("0202FF80", "ASN.1: an INTEGER that is padded, at octet 2 (FF80)"),
        ("020203E9", "ASN.1: 1001 is outside 0..1000, at octet 2 (03E9)"),
        ("0201FF", "ASN.1: -1 is outside 0..1000, at octet 2 (FF)"),
        ("02", "ASN.1: the element with tag 02 is missing or cut short, at octet 0 (02)"),
        ("0401AA", "ASN.1: tag 04 where 02 belongs, at octet 0 (0401AA)"),
        ("0202AA", "ASN.1: a length of 2 octets runs past the end, at octet 1 (02AA)"),
        ("0280AA0000", "ASN.1: an indefinite length, at octet 1 (80AA0000)"),
        ("02810105", "ASN.1: a length that is not minimal, at octet 1 (810105)"),
        ("0285000000000105", "ASN.1: a length in 5 octets, at octet 1 (85000000000105)"),
        ("028201", "ASN.1: a length in 2 octets, at octet 1 (8201)"),
        ("02010500", "ASN.1: 1 octets behind the end, at octet 3 (00)"),
    ],
)
def test_octets_that_are_not_der_are_refused(octets: str, message: str) -> None:
    assert refusal(Integer(maximum=1000), octets) == message


@pytest.mark.parametrize("octets", ["02810105", "0282000105", "02840000000105"])
def test_lenient_reading_takes_padded_lengths_and_notes_them(octets: str) -> None:
    decoded = decode(Integer(maximum=1000), bytes.fromhex(octets), lenient_lengths=True)
    assert decoded.value == 5
    assert decoded.lengths_not_minimal == (1,)


@pytest.mark.parametrize("octets", ["0280050000", "02020001", "0285000000000105", "0201050A"])
def test_lenient_reading_takes_nothing_else(octets: str) -> None:
    assert refusal(Integer(maximum=1000), octets, lenient=True)


def test_named_integer_takes_only_its_names() -> None:
    codec = NamedInteger(Colour)
    assert encode(codec, Colour.BLUE) == bytes.fromhex("020200C8")
    assert decode(codec, bytes.fromhex("020200C8")).value is Colour.BLUE
    assert refusal(codec, "020101") == "ASN.1: 1 is no Colour, at octet 2 (01)"
    five: Any = 5
    with pytest.raises(LocalProtocolError, match="5 is no Colour"):
        encode(codec, five)


def test_enumerated_has_its_own_tag() -> None:
    codec = Enumerated(Colour)
    assert encode(codec, Colour.RED) == bytes.fromhex("0A0100")
    assert refusal(codec, "020100") == "ASN.1: tag 02 where 0A belongs, at octet 0 (020100)"
    assert refusal(codec, "0A0103") == "ASN.1: 3 is no Colour, at octet 2 (03)"


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (Bits(0), "030100"),
        (Bits.FIRST, "03020780"),
        (Bits.FIRST | Bits.SECOND, "030206C0"),
        (Bits.NINTH, "0303070080"),
    ],
)
def test_named_bits_lose_trailing_zero_bits(value: Bits, octets: str) -> None:
    assert encode(NamedBits(Bits), value).hex().upper() == octets
    assert decode(NamedBits(Bits), bytes.fromhex(octets)).value == value


@pytest.mark.parametrize("octets", ["0300", "03020080", "0303060080", "03020880", "03020781"])
def test_bit_string_in_another_form_is_refused(octets: str) -> None:
    assert "BIT STRING" in refusal(NamedBits(Bits), octets)


def test_bits_without_a_name_are_refused() -> None:
    assert refusal(NamedBits(Bits), "0303060040") == (
        "ASN.1: a bit that Bits has not, at octet 2 (060040)"
    )
    with pytest.raises(LocalProtocolError, match="has bits that Bits has not"):
        encode(NamedBits(Bits), Bits(512))


def test_octet_string_of_another_size_is_refused() -> None:
    assert refusal(OctetString(2), "0403AABBCC") == (
        "ASN.1: 3 octets where 2 belong, at octet 2 (AABBCC)"
    )
    with pytest.raises(LocalProtocolError, match="1 octets where 2 belong"):
        encode(OctetString(2), b"\xaa")


def test_null_has_no_contents() -> None:
    assert encode(Null(), None) == b"\x05\x00"
    assert refusal(Null(), "050100") == "ASN.1: a NULL with contents, at octet 2 (00)"


def test_generalized_time_is_written_in_utc() -> None:
    moment = datetime(2030, 1, 2, 1, 30, tzinfo=timezone(timedelta(hours=1)))
    assert encode(GeneralizedTime(), moment) == b"\x18\x0f20300102003000Z"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2030, 1, 2),  # noqa: DTZ001 - what is refused here
        datetime(2030, 1, 2, microsecond=1, tzinfo=UTC),
    ],
)
def test_time_that_is_not_whole_seconds_of_utc_is_refused(moment: datetime) -> None:
    with pytest.raises(LocalProtocolError, match="not whole seconds of UTC"):
        encode(GeneralizedTime(), moment)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"2030010200000Z", "not YYYYMMDDHHMMSSZ"),
        (b"20300102000000+", "not YYYYMMDDHHMMSSZ"),
        (b"2030 102000000Z", "not YYYYMMDDHHMMSSZ"),
        (b"20301302000000Z", "names no time"),
        (b"20300102000060Z", "names no time"),
    ],
)
def test_generalized_time_in_another_form_is_refused(text: bytes, reason: str) -> None:
    octets = bytes((0x18, len(text))) + text
    assert reason in refusal(GeneralizedTime(), octets.hex())


def test_default_is_never_written_and_never_read() -> None:
    assert encode(PAIR, Pair(first=1, second=7)) == bytes.fromhex("3003020101")
    assert decode(PAIR, bytes.fromhex("3003020101")).value == Pair(first=1)
    assert refusal(PAIR, "3006020101020107") == (
        "ASN.1: second: a DEFAULT that is written out, at octet 5 (020107)"
    )


def test_error_in_an_item_names_its_place() -> None:
    assert refusal(OUTER, "300C 300A 3003020101 3003020180") == (
        "ASN.1: pairs[1].first: -128 is outside 0..1000, at octet 13 (80)"
    )
    with pytest.raises(LocalProtocolError) as caught:
        encode(OUTER, Outer(pairs=(Pair(first=1, third=b"\x01"),)))
    assert str(caught.value) == "Outer.pairs: Pair.third: 1 octets where 2 belong"


def test_elements_in_another_order_are_refused() -> None:
    assert refusal(PAIR, "300780020102020101") == (
        "ASN.1: first: tag 80 where 02 belongs, at octet 2 (80020102020101)"
    )
    assert refusal(PAIR, "300A0201018002AABB020102") == (
        "ASN.1: 3 octets behind the last element, at octet 9 (020102)"
    )


def test_structure_of_another_class_is_refused() -> None:
    outer: Any = Outer(pairs=())
    with pytest.raises(LocalProtocolError, match="Outer is no Pair"):
        encode(PAIR, outer)


def test_choice_goes_by_tag_and_by_type() -> None:
    codec: Choice[bytes | Colour] = Choice(Encoded(), NamedInteger(Colour))
    assert decode(codec, bytes.fromhex("020100")).value is Colour.RED
    assert decode(codec, bytes.fromhex("3000")).value == bytes.fromhex("3000")
    assert encode(codec, Colour.RED) == bytes.fromhex("020100")
    assert encode(codec, bytes.fromhex("3000")) == bytes.fromhex("3000")
    assert refusal(codec, "0A0100") == (
        "ASN.1: none of the alternatives of the CHOICE, at octet 0 (0A0100)"
    )
    assert refusal(codec, "") == "ASN.1: none of the alternatives of the CHOICE, at octet 0"
    text: Any = "red"
    with pytest.raises(LocalProtocolError, match="str is none of the alternatives"):
        encode(codec, text)


@pytest.mark.parametrize(
    "octets",
    ["", "30", "0400", "3001", "300000", "308100", "30810101", "3082000105", "3080" + "00" * 128],
)
def test_encoded_is_written_only_where_it_is_one_sequence_with_a_der_length(octets: str) -> None:
    with pytest.raises(LocalProtocolError, match="SEQUENCE"):
        encode(Encoded(), bytes.fromhex(octets))


def test_encoded_with_a_padded_length_is_read_with_a_minimal_one() -> None:
    decoded = decode(Encoded(), bytes.fromhex("30820003028105"), lenient_lengths=True)
    assert decoded.value == bytes.fromhex("3003028105")
    assert decoded.lengths_not_minimal == (1,)
    assert encode(Encoded(), decoded.value) == decoded.value


def test_minimal_lengths_are_written_at_every_depth() -> None:
    padded = bytes.fromhex("3082000F A08105 3081020500 04820003 308105")
    assert with_minimal_lengths(padded).hex().upper() == "300BA004300205000403308105"


def test_minimal_lengths_leave_der_as_it_is() -> None:
    octets = bytes.fromhex("3006020101040130")
    assert with_minimal_lengths(octets) == octets


def test_nesting_beyond_the_maximum_is_refused() -> None:
    octets = b""
    for _ in range(MAXIMUM_DEPTH):
        octets = b"\x30" + encode_length(len(octets)) + octets
    assert with_minimal_lengths(octets) == octets
    for _ in range(3000):
        octets = b"\x30" + encode_length(len(octets)) + octets
    with pytest.raises(DecodeError, match="nested deeper than 32"):
        with_minimal_lengths(octets)


def test_tag_of_several_octets_is_refused() -> None:
    with pytest.raises(DecodeError, match="a tag of several octets, at octet 0"):
        with_minimal_lengths(bytes.fromhex("1F810100"))
