"""Outputs that stay at their servers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pywps import Format
from pywps.inout.outputs import MetaFile

from joblauncher.inputs import references
from joblauncher.shared.jobdir import JobDir
from web_answers import HERE, Web


def test_asking_for_the_sizes_of_outputs_has_an_end(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(
        references,
        "time",
        SimpleNamespace(monotonic=lambda: clock.append(clock[-1] + 25) or clock[-1]),
    )
    references.install(HERE, JobDir(tmp_path))
    sizes = []
    for _ in range(5):
        file = MetaFile("x", "x", fmt=Format("text/plain"))
        file.url = f"{web.url}/x"
        sizes.append(file.size)
    assert sizes == [6, 6, 6, 0, 0]
    assert len(web.seen) == 3
