"""Whatever is posted, the stand-in answers, and nothing that is not signed reaches a device."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dccstub.web_services import WebService
from duis.request_documents import (
    IssueSecurityCredentials,
    ReadInventory,
    RetrieveDeviceSecurityCredentialsKRP,
)
from firmware_stubs.dccstub.bench import BROKER, Role, StandInBench
from firmware_stubs.support import DS

READ = RetrieveDeviceSecurityCredentialsKRP(remote_party_roles=(Role.SUPPLIER,))


@cache
def bench() -> StandInBench:
    return StandInBench()


@cache
def documents() -> tuple[bytes, ...]:
    made = bench()
    return (
        made.signed(READ, made.next_id()),
        made.signed(IssueSecurityCredentials(credential_type=DS), made.next_id()),
        made.signed(ReadInventory(mpxn="1"), made.next_id(BROKER)),
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A signed request of which a part is replaced, taken out or doubled."""
    octets = draw(st.sampled_from(documents()))
    ends = draw(st.tuples(st.integers(0, len(octets)), st.integers(0, len(octets))))
    start, end = min(ends), max(ends)
    put = draw(st.one_of(st.binary(max_size=12), st.just(octets[start:end] * 2)))
    return octets[:start] + put + octets[end:]


@settings(deadline=None, max_examples=150)
@given(octets=st.one_of(st.binary(max_size=200), damaged()), service=st.sampled_from(WebService))
def test_damaged_requests_are_refused_and_send_nothing(octets: bytes, service: WebService) -> None:
    made = StandInBench(pki=bench().pki)
    reply = made.post(octets, service)
    if reply.status == 200:
        # What canonical XML does not show, such as a line's end behind the root, is no damage.
        assert made.read(reply.body).header.request_id is not None
    else:
        assert reply.status == 400
        assert not made.boxed.dispatcher.is_busy


def test_the_documents_themselves_are_taken() -> None:
    made = StandInBench()
    octets = made.signed(READ, made.next_id())
    assert made.post(octets, WebService.SEND_COMMAND).status == 200


@pytest.mark.parametrize("change", [b"\n", b" "])
def test_white_space_behind_the_root_is_no_damage(change: bytes) -> None:
    made = StandInBench()
    octets = made.signed(READ, made.next_id()) + change
    assert made.post(octets, WebService.SEND_COMMAND).status == 200
