"""Programs of the system that some tests talk to."""

from __future__ import annotations

import os
import shutil

import pytest

_PLACES = os.pathsep.join([os.defpath, "/usr/local/sbin", "/usr/sbin", "/usr/local/bin"])


def needed_program(name: str) -> str:
    """Give the path of a program; without it the test skips, and in CI it fails."""
    found = shutil.which(name) or shutil.which(name, path=_PLACES)
    if found is None:
        reason = f"{name} is not installed; `make test-packages` installs it where it may"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found
