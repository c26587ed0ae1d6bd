"""Where the kernel does not let jobs be shut in, they start without a nursery, and that is told."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from joblauncher import enclosure
from joblauncher.nursery_outside import ContainerNursery
from pywps_hpc.dispatch.schedulers.local_runtime import nursery, runner

#: As the scheduler writes it down; the container is never asked.
WARM: dict[str, Any] = {
    "python": "python3",
    "paths": [],
    "environment": {},
    "container": {
        "program": ["sh", "-c", "sleep 20"],
        "arguments": [],
        "exports": {},
        "image": "/none.sif",
        "spool": "/spool",
        "network": False,
        "shown": [],
        "writable": [],
        "prefix": "APPTAINERENV_",
    },
}


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job: Path) -> int:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(enclosure, "offer", refuse)


def test_what_the_kernel_refuses_is_told_once_and_no_nursery_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nurseries = nursery.Nurseries(tmp_path)
    nurseries.hold()
    started: list[Path] = []

    def spawn(self: nursery.Nurseries, folder: Path, warm: dict[str, Any]) -> None:
        facts = self._container(folder, warm, {})
        own = {"queue": "", "wanted": "", "idle": 1, "orphaned": 1, "paths": []}
        runner.write(folder / "nursery.json", json.dumps(own | facts))
        ContainerNursery(folder, runner.__file__, os.open(os.devnull, os.O_RDONLY)).run()
        started.append(folder)

    monkeypatch.setattr(nursery.Nurseries, "_spawn", spawn)
    monkeypatch.setattr(nurseries, "_children", [])
    forbid(monkeypatch)
    for _ in range(3):
        nurseries._started = dict.fromkeys(nurseries._started, -1e9)  # as if it were long ago
        with caplog.at_level(logging.WARNING, logger=nursery.__name__):
            assert nurseries.order(1, WARM) is None
    assert len(started) == 1
    told = [record.getMessage() for record in caplog.records if record.name == nursery.__name__]
    assert len(told) == 1
    assert "unshare: Operation not permitted" in told[0]
    assert "[hpc.container] warm" in told[0]


def test_a_container_that_does_not_start_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "nursery"
    (folder / "inside").mkdir(parents=True)
    facts = {"command": ["false"], "environment": {"PATH": os.defpath}, "idle": 60, "queue": ""}
    (folder / "nursery.json").write_text(json.dumps(facts | {"wanted": "", "orphaned": 60}))
    for _ in range(2):  # the first time it may be a module's fault, which the next leaves out
        assert not (folder / "refused").exists()
        ContainerNursery(folder, runner.__file__, os.open(os.devnull, os.O_RDONLY)).run()
    assert "the container cannot be started" in (folder / "refused").read_text()
    assert not (folder / "socket").exists()


def test_another_image_is_another_nursery(tmp_path: Path) -> None:
    image = tmp_path / "image.sif"
    image.write_text("1")
    warm = {**WARM, "container": {**WARM["container"], "image": str(image)}}
    before = nursery._key(warm)
    assert nursery._key(warm) == before
    image.unlink()
    image.write_text("22")
    assert nursery._key(warm) != before


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    targets = {mount.target: mount for mount in enclosure._mounts()}
    assert targets["/"].kind
    assert all(target.startswith("/") for target in targets)
    assert targets["/proc"].kind == "proc"
