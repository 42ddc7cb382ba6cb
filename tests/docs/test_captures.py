"""What the documents show of the program is what the program does."""

from __future__ import annotations

import pytest

from docs.captures import WRITTEN, readme_capture, run_output, stale, untrue


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_file_is_what_the_code_makes(name: str) -> None:
    assert not stale(name), f"{name} is not what the code makes; run `make docs`"


def test_readme_shows_what_a_run_prints() -> None:
    assert untrue(readme_capture(), run_output()) == []


def test_capture_that_is_not_so_is_told() -> None:
    output = "a  b\n  CHF 00-DB-12-34-56-78-90-A2  on /dev/pts/7\nend\n"
    assert untrue("a b\n…\nCHF 00-DB-12-34-56-78-90-A3 on /dev/pts/0\nend", output) == []
    assert untrue("end\na b", output) == ["a b"]
    assert untrue("CHF 00-DB-12-34-56-78-90-A3 over /dev/pts/0", output) != []
