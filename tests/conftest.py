"""What holds of every test, and the homes that many begin with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings

from homes.recorded import Recordings
from homes.virtual_home import Home, quick_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    Recorded: TypeAlias = Callable[[str], Home]

if "PYTEST_XDIST_WORKER" in os.environ:
    # The tracer would take longer to start than the programs that tests start, hundreds of them.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

# How long a busy machine takes to make an example says nothing of what is tested.
settings.register_profile("keyrig", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("keyrig")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage of a sweep: it goes over the same lines thousands of times."""
    measuring = Coverage.current() if item.get_closest_marker("sweep") else None
    if measuring is None:
        return (yield)
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()


@pytest.fixture(scope="session", name="recordings")
def fixture_recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """The homes of `homes.recorded`, made once for all of the session's processes."""
    base = tmp_path_factory.getbasetemp()
    return Recordings((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "recorded")


@pytest.fixture(name="recorded")
def fixture_recorded(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Recorded:
    """Copies the home of a scenario, and has KEYRIG_HOME name it."""

    def copied(name: str) -> Home:
        home = recordings.copy(name, tmp_path / "recorded")
        monkeypatch.setenv("KEYRIG_HOME", str(home.agent))
        return home

    return copied


@pytest.fixture(scope="session", name="quick")
def fixture_quick() -> Iterator[Path]:
    """A folder on a file system in memory, where there is one."""
    with quick_folder("tests") as folder:
        yield folder


@pytest.fixture(scope="session", name="factory")
def fixture_factory(quick: Path) -> Home:
    """An emulated home as from the factory, to copy and not to change."""
    home = Home.below(quick / "factory")
    home.make(prepared=True)
    return home


@pytest.fixture(name="virtual_home")
def fixture_virtual_home(factory: Home, quick: Path) -> Iterator[Home]:
    """A home as from the factory, on virtual lines and in virtual time."""
    home = Home.below(quick / "home")
    factory.copy(home)
    yield home
    home.remove()
