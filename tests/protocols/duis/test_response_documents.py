from __future__ import annotations

import pytest

from duis.response_documents import Response, build_response, parse_response
from duis_schemas import assert_valid

from .examples import RESPONSES


@pytest.mark.parametrize("response", RESPONSES, ids=lambda each: type(each.body).__name__)
def test_response_is_valid_and_read_back(response: Response) -> None:
    octets = build_response(response)
    assert_valid(octets)
    assert parse_response(octets, "a.xml") == response
