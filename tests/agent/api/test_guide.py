"""The guide's examples, carried out as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyrig.api.problem_documents import TYPE_PREFIX
from keyrig.base.error_kinds import KINDS
from keyrig.cli import run_cli
from keyrig.domain.api_tokens import Scope
from patience import HANG_S

if TYPE_CHECKING:
    from agent.api.serving import Serving

GUIDE = Path(__file__).parents[3] / "docs" / "api.md"
CODE_OF_OURS = re.compile(r"`([a-z]+(?:-[a-z]+)*)`")


def test_examples_of_the_guide_do_what_it_says(
    served: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    token = served.token(Scope.READ, Scope.RUN)["Authorization"].removeprefix("Bearer ")
    work = tmp_path / "work"
    work.mkdir()
    script = 'set -eu\ncurl() { command curl --fail-with-body "$@"; }\n' + "\n".join(blocks)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=work,
        env={"KEYRIG": served.url, "TOKEN": token, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "event: operation-finished" in (work / "events.txt").read_text(encoding="utf-8")
    assert '"state": "done"' in (work / "run.json").read_text(encoding="utf-8")
    assert "id: 3\n" not in (work / "rest.txt").read_text(encoding="utf-8")
    assert "keyrig_duties_open" in done.stdout
    assert run_cli(["verify-evidence", str(work / "run.evidence")]) == 0
    assert "everything holds" in capsys.readouterr().out


def test_codes_of_the_guide_are_those_of_the_program() -> None:
    table = GUIDE.read_text(encoding="utf-8").split("| status | codes |")[1].split("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines() if "`" in row]
    told = {(int(status), code) for status, codes in rows for code in CODE_OF_OURS.findall(codes)}
    assert told == {(int(kind.status), code) for code, kind in KINDS.items()}
    assert TYPE_PREFIX in GUIDE.read_text(encoding="utf-8")
