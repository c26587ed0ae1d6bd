"""What usage tells of jobs, against what they are known to have done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import wps_client as client
from servers import HpcServer, wait_for

#: Seconds of processor time, seconds of sleep, MiB.
WORK = {"burn": 3, "sleep": 1, "mebibytes": 300}
#: MiB of an interpreter with PyWPS, at most.
INTERPRETER = 150


def test_usage_tells_what_jobs_are_known_to_have_used(tmp_path: Path) -> None:
    # A fork shares memory with what it was forked from.
    sections = {"hpc.container": {"warm": "no"}, "hpc.process.work": {"cpus": 1, "memory": "1G"}}
    given = [(name, str(amount)) for name, amount in WORK.items()]
    with HpcServer(tmp_path, application="working:service", sections=sections) as hpc:
        location = client.submit(hpc.url, "work", given)
        client.await_end(location)
        job = hpc.id_of(location)
        wait_for(lambda: (hpc.row(job) or {})["state"] == "succeeded", "its row tells the end")
        (told,) = map(json.loads, hpc.cli("usage", "--json").stdout.splitlines())
        row = hpc.row(job)
    assert row is not None
    assert (told["process"], told["jobs"], told["succeeded"], told["measured"]) == ("work", 1, 1, 1)
    assert told["cpu_used"] == pytest.approx(WORK["burn"], abs=2)  # and its imports
    assert told["cpu_used"] >= WORK["burn"]
    assert WORK["mebibytes"] <= told["memory_used"] <= WORK["mebibytes"] + INTERPRETER
    assert told["memory_asked"] == 1024
    assert told["run_p50"] == row["finished"] - row["started"] >= WORK["burn"] + WORK["sleep"]
    assert told["cpu_asked"] == told["run_p50"]
    assert told["queue_p50"] == max(0.0, row["started"] - row["submitted"])
    assert row["created"] <= row["submitted"] <= row["started"] + 1
