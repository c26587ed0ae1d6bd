"""Storage that is full, read-only or away: its words, the room that is made, the patience."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from joblauncher import outputs
from joblauncher.shared import storage
from joblauncher.shared.files import atomic_copy, atomic_write
from joblauncher.shared.jobdir import JobDir


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/place")


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    made = JobDir(tmp_path)
    for folder in (made.work, made.temporary, made.storage):
        folder.mkdir()
        (folder / "large").touch()
    return made


def _failing(times: int, error: Callable[[], OSError]) -> tuple[list[int], Callable[[], None]]:
    calls: list[int] = []

    def write() -> None:
        calls.append(1)
        if len(calls) <= times:
            raise error()

    return calls, write


def test_trouble_has_words_that_name_no_path() -> None:
    assert storage.trouble(_no_space()) == "the storage is full"
    assert storage.trouble(OSError(errno.EDQUOT, "x")) == "the storage quota is used up"
    assert storage.trouble(FileNotFoundError(errno.ENOENT, "x")) == ""
    assert storage.trouble(None) == ""


def test_trouble_is_found_behind_what_it_led_to() -> None:
    def write() -> None:
        try:
            raise _no_space()
        except OSError as error:
            raise RuntimeError("a library's own words") from error

    with pytest.raises(RuntimeError) as caught:
        write()
    assert storage.trouble(caught.value) == "the storage is full"


def test_room_is_made_by_what_the_job_worked_in_and_not_by_its_outputs(job: JobDir) -> None:
    calls, write = _failing(1, _no_space)
    storage.insist(job, write, patience=0)
    assert len(calls) == 2
    assert not job.work.exists()
    assert not job.temporary.exists()
    assert (job.storage / "large").exists()


def test_patience_ends(job: JobDir, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clock = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda pause: now.append(now.pop() + pause)
    )
    monkeypatch.setattr(storage, "time", clock)
    calls, write = _failing(99, _no_space)
    with pytest.raises(OSError, match="No space"):
        storage.insist(job, write, patience=0.3)
    assert len(calls) >= 3


def test_what_is_not_about_the_storage_is_not_tried_again(job: JobDir) -> None:
    calls, write = _failing(1, lambda: FileNotFoundError(errno.ENOENT, "x"))
    with pytest.raises(FileNotFoundError):
        storage.insist(job, write)
    assert len(calls) == 1
    assert job.work.exists()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that :mod:`storage` sees: it passes while it sleeps."""
    now = [0.0]
    fake = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda pause: now.append(now.pop() + pause)
    )
    monkeypatch.setattr(storage, "time", fake)
    return now


def test_a_result_waits_for_room_for_hours(job: JobDir, clock: list[float]) -> None:
    calls, write = _failing(2000, _no_space)
    storage.insist(job, write, storage.FOR_EVER, keep_work=True)
    assert len(calls) == 2001
    assert clock[0] > 7200
    assert (job.work / "large").exists(), "it may hold what is to be stored"


@pytest.mark.parametrize("own", [True, False])
def test_an_output_waits_for_room_unless_it_needs_none(
    job: JobDir, clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: bool
) -> None:
    file = (job.work if own else tmp_path) / "map.nc"
    file.write_bytes(b"map")
    copy, tries = shutil.copyfile, []

    def full(source: Path, target: Path) -> None:
        tries.append(target)
        if own or len(tries) < 5:
            Path(target).write_bytes(b"m")  # as much as there was room for
            raise _no_space()
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    stored = outputs.Outputs(job).store(str(file), job.outputs, "", "x", "copy")
    assert stored.read_bytes() == b"map"
    assert [path.name for path in job.outputs.iterdir()] == ["map.nc"]
    assert len(tries) == (1 if own else 5)


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_folder_in_a_files_place_gives_way(tmp_path: Path, is_copied: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "response.body"
    source.write_bytes(b"map")
    (target / "inside").mkdir(parents=True)
    if is_copied:
        atomic_copy(str(source), target)
    else:
        atomic_write(target, b"map")
    assert target.read_bytes() == b"map"
