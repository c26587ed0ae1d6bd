"""Why a job ended: each reason caused for real, told to the client in words, and soon.

All jobs of a batch system run side by side; what takes long is started first. The service asks at
the pace that it has by default.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cluster_site
import servers
from batch_faults import (
    ON_SITES,
    OVER,
    SITES,
    GridEngine,
    Site,
    Watch,
    agree,
    faulty_server,
    release,
    row_of,
    send,
)
from pywps_hpc.jobs import standing
from reliability import Witness

pytestmark = pytest.mark.cluster
#: Seconds from the batch system's knowledge to the client's: three times what is promised, since
#: the machine may be busy with other tests. docs/reliability.md has what was measured.
SOON = 45.0
#: Seconds from a recorded dismissal to the first document that tells it: that takes no turn of the
#: dispatcher, only the table and a poll.
RECORDED = 10.0
LONG = {"wait": 1}  # until it is released, which nobody does here but where its node is lost
NOWHERE = "/no/such/folder"

SECTIONS: dict[str, dict[str, dict[str, object]]] = {
    "Slurm": {
        "hpc.resources": {"memory": "300M", "walltime": "00:30:00"},
        # Not on the node that will fail.
        "hpc.process.slow": {"walltime": "00:01:00", "extra": "--nodelist=c1"},
        "hpc.process.too_long": {"queue": "short", "walltime": "00:30:00"},
        "hpc.process.no_partition": {"queue": "nowhere"},
        "hpc.process.no_account": {"account": "nobody"},
        "hpc.process.no_log": {"walltime": "00:29:00"},
        "hpc.process.preempted": {"queue": "spare", "extra": "--nodelist=c2", "memory": "5500M"},
        "hpc.process.second": {"extra": "--nodelist=c2"},
    },
    "Grid Engine": {
        "hpc.resources": {"memory": "2G", "walltime": "00:30:00"},
        "hpc.process.slow": {"walltime": "00:00:12"},
        "hpc.process.no_partition": {"queue": "nowhere"},
        "hpc.process.no_log": {"walltime": "00:29:00"},
    },
}
#: A site's own template, which sends the log of jobs with this walltime elsewhere.
TEMPLATE = """\
{{% extends "default/{name}.sh.j2" %}}
{{% block header %}}
{{{{ super() }}}}
{{% if resources.walltime == 29 * 60 %}}
{line}
{{% endif %}}
{{% endblock %}}
"""
LOG_LINES = {
    "slurm": f"#SBATCH --output={NOWHERE}/log",
    "gridengine": f"#$ -o :{NOWHERE}/log",
}


@dataclass
class Cases:
    """A service with all the jobs that come to grief by themselves, and who watches them."""

    site: Site
    server: servers.HpcServer
    watches: dict[str, Watch]

    def told(self, name: str) -> str:
        """What the client was told in the end; the command line says the same."""
        watch = self.watches[name]
        words = watch.end(240)
        assert watch.state == "ProcessFailed"
        row = row_of(self.server, watch, "failed", "dismissed")
        shown = " ".join(self.server.cli("show", watch.job_id).stdout.split())
        assert words in shown
        assert NOWHERE not in words
        assert str(self.server.spool.root) not in words
        assert row["message"] == words or not row["message"]
        return words

    def after(self, name: str) -> float:
        """Seconds from the batch system's knowledge of the end to the client's."""
        watch = self.watches[name]
        row = row_of(self.server, watch, "failed", "dismissed")
        # It counts in whole seconds.
        return max(0.0, watch.ended - self.site.knew_at(str(row["native_id"])))


#: For what only Slurm does, or tells.
on_slurm = pytest.mark.parametrize("cases", ON_SITES[:1], indirect=True, scope="module")


@pytest.fixture(scope="module", params=ON_SITES)
def cases(request: pytest.FixtureRequest) -> Iterator[Cases]:
    site = SITES[request.param]()
    sections = SECTIONS[site.name] | {
        # Grid Engine's accounting lags by up to 15 s, and a busy host adds to that.
        "hpc": {"poll_interval": 2, "poll_backoff": 10, "grace": 40, "command_timeout": 5}
    }
    templates = cluster_site.folder("templates")
    for name, line in LOG_LINES.items():
        (templates / f"{name}.sh.j2").write_text(TEMPLATE.format(name=name, line=line))
    sections["hpc"]["templates"] = templates
    broken = cluster_site.folder("broken") / "broken.sif"
    broken.write_bytes(Path(os.environ["PYWPS_HPC_TEST_IMAGE"]).read_bytes()[:100_000])
    broken.chmod(0o644)
    sections["hpc.process.bad_image"] = {"image": broken}
    sections["hpc.process.no_image"] = {"image": f"{NOWHERE}/image.sif"}
    with faulty_server("reasons", site, sections) as server:
        watches = {"slow": send(server, "slow", **LONG)}
        names = {name.removeprefix("hpc.process.") for name in sections if "process." in name}
        mebibytes = 600 if site.name == "Slurm" else 3000
        watches |= {
            **{name: send(server, name, **LONG) for name in sorted(names - {"slow"})},
            "greedy": send(server, "greedy", mebibytes=mebibytes),
            "signalled": send(server, "signalled", number=9),
            "exits": send(server, "exits", number=7),
            "refuses": send(server, "refuses"),
            **{
                name: send(server, name)
                for name in ("mismatch_python", "mismatch_dill", "mismatch_pywps")
            },
            **{name: send(server, "counts", **LONG) for name in ("cancelled", "dismissed")},
            "shot": send(server, "counts", **LONG),
        }
        cases = Cases(site, server, watches)
        try:
            yield cases
            _end_rest(cases)
        finally:
            for watch in watches.values():
                watch.close()


def _end_rest(cases: Cases) -> None:
    """End the jobs that were left to tests which failed, or which are not of this run."""
    rest = {name: watch for name, watch in cases.watches.items() if watch.state not in OVER}
    release(cases.server, *rest.values())
    if "too_long" in rest:  # it waits in vain
        cases.server.cli("cancel", rest["too_long"].job_id)
    for watch in rest.values():
        watch.end(240)


def _runs(cases: Cases, name: str) -> dict[str, Any]:
    """Wait until the process counts; its row."""
    cases.watches[name].until("ProcessStarted", "left")
    return dict(row_of(cases.server, cases.watches[name], "running"))


def test_cancelled_by_an_administrator(cases: Cases, witness: Witness) -> None:
    row = _runs(cases, "cancelled")
    cases.site.cancel(row["native_id"])
    how = "scancel by root" if cases.site.name == "Slurm" else "qdel by root"
    words = cases.told("cancelled")
    assert words.startswith("cancelled by an administrator of the cluster")
    seconds = cases.after("cancelled")
    assert seconds <= SOON
    witness("cancelled by an administrator", how, words, seconds, cases.site.name)


def test_dismissed(cases: Cases, witness: Witness) -> None:
    _runs(cases, "dismissed")
    begun = time.time()
    watch = cases.watches["dismissed"]
    assert "will be dismissed" in cases.server.cli("cancel", watch.job_id).stdout
    recorded = time.time()
    words = cases.told("dismissed")
    assert words == "dismissed"
    # From the moment that the dismissal was recorded, clients are told nothing else.
    later = {seen[1:] for seen in watch.seen if seen[0] >= watch.ended}
    assert later <= {("ProcessFailed", standing.DISMISSING), ("ProcessFailed", words)}
    done = watch.seen[-1][0] - begun
    assert watch.ended - recorded <= RECORDED
    assert done <= SOON
    witness("dismissed", "`pywps-hpc cancel`", words, done, cases.site.name)


def test_launcher_killed(cases: Cases, witness: Witness) -> None:
    row = _runs(cases, "shot")
    servers.shoot(cluster_site.processes_of(row["id"]))
    words = cases.told("shot")
    assert words == "killed by signal 9 (SIGKILL: killed)"
    seconds = cases.after("shot")
    assert seconds <= SOON
    how = "SIGKILL to container, launcher and process"
    witness("launcher killed", how, words, seconds, cases.site.name)


@on_slurm
def test_preempted(cases: Cases, witness: Witness) -> None:
    _runs(cases, "preempted")
    # There is no room for both of them; those in other partitions stay.
    line = ["--partition=urgent", "--nodelist=c2", "--mem=5500M", "--time=1", "--wrap=sleep 1"]
    cluster_site.as_user("sbatch", "--chdir=/", "--output=/dev/null", *line)
    words = cases.told("preempted")
    assert words.startswith("stopped: the cluster needed its resources for other jobs (")
    seconds = cases.after("preempted")
    assert seconds <= SOON
    how = "a job in a partition of higher tier"
    witness("preempted", how, words, seconds, cases.site.name)


BY_THEMSELVES = {
    "exits": (
        "exit code N",
        "the process calls os._exit(7)",
        "the process ended with exit code 7 without reporting a result",
    ),
    "signalled": (
        "killed by signal N",
        "the process kills itself",
        "the process was killed by signal 9 (SIGKILL: killed)",
    ),
    "refuses": (
        "the process raises",
        "ProcessError in the handler",
        "Process error: The catchment has no outlet.",
    ),
    "bad_image": (
        "could not start: corrupt image",
        "a SIF file cut short",
        "could not start: the container image is damaged, or is not an image",
    ),
    "no_image": (
        "could not start: no image",
        "the image's file is not there",
        "could not start: the container image is missing on the compute node",
    ),
    "mismatch_python": (
        "environment mismatch: Python",
        "the dump of another Python",
        "environment mismatch: the service runs python 3.1.4, the compute environment has python ",
    ),
    "mismatch_dill": (
        "environment mismatch: dill",
        "the dump of another dill",
        "environment mismatch: the service runs dill 9.9.9, the compute environment has dill ",
    ),
    "mismatch_pywps": (
        "environment mismatch: PyWPS",
        "the dump of another PyWPS",
        "environment mismatch: the service runs pywps 3.2.1, the compute environment has pywps ",
    ),
}


@pytest.mark.parametrize("name", BY_THEMSELVES)
def test_ended_by_itself(cases: Cases, witness: Witness, name: str) -> None:
    fault, how, expected = BY_THEMSELVES[name]
    words = cases.told(name)
    assert words.startswith(expected)
    seconds = cases.after(name)
    assert seconds <= SOON
    witness(fault, how, words, seconds, cases.site.name)


def test_memory_limit(cases: Cases, witness: Witness) -> None:
    words = cases.told("greedy")
    if cases.site.name == "Slurm":
        assert re.fullmatch(
            r"killed: one process used \S+ [MG]B, (all together )?more than the 300 MB asked for",
            words,
        )
    else:
        assert words == "the process ran out of memory: 2 GB had been asked for"
    seconds = cases.after("greedy")
    assert seconds <= SOON
    how = "the process takes more than it asked for"
    witness("memory limit", how, words, seconds, cases.site.name)


def test_log_that_cannot_be_opened(cases: Cases, witness: Witness) -> None:
    site, watch = cases.site, cases.watches["no_log"]
    words = cases.told("no_log")
    assert words.startswith("could not start ("), words
    if site.name == "Slurm":
        assert "the log file could not be opened" in words
        seconds = cases.after("no_log")
    else:
        assert words == "could not start (Eqw: Grid Engine could not start it, qstat -j shows why)"
        row = row_of(cases.server, watch, "failed")
        assert isinstance(site, GridEngine)
        # It is cleared away: nothing of it stays in the queue.
        waits = re.compile(rf"(?m)^\s*{row['native_id']}\s")
        servers.wait_for(lambda: not waits.search(site.ask("qstat", "-u", "*")), "it is gone")
        # Grid Engine notes no time of its own: this is from the submission, its turn included.
        seconds = watch.ended - watch.since
    assert seconds <= (SOON if site.name == "Slurm" else 60)
    fault = "could not start: its log cannot be opened"
    witness(fault, "a log in a folder that is not there", words, seconds, site.name)


def test_refused_at_submission(cases: Cases, witness: Witness) -> None:
    expected = {
        "no_partition": "Invalid partition name specified",
        "no_account": "Invalid account or account/partition combination specified",
    }
    if cases.site.name != "Slurm":
        expected = {"no_partition": 'unknown queue "nowhere"'}
    for name, part in expected.items():
        words = cases.told(name)
        assert words.startswith("could not start: "), words
        assert part in words, words
        watch = cases.watches[name]
        seconds = watch.ended - watch.since
        assert seconds <= SOON
        what = "unknown account" if name == "no_account" else "unknown partition or queue"
        how = "the settings name one that does not exist"
        witness(f"could not start: {what}", how, words, seconds, cases.site.name)


@on_slurm
def test_waits_in_vain(cases: Cases, witness: Witness) -> None:
    watch = cases.watches["too_long"]
    watch.until("ProcessAccepted", "waits, but cannot start as it stands: PENDING (Partition")
    seen, _, words = next(entry for entry in watch.seen if "cannot start" in entry[2])
    assert seen - watch.since <= SOON + 5
    witness(
        "waits in vain",
        "a time limit beyond the partition's",
        words[words.index("waits, but") :],
        seen - watch.since,
        cases.site.name,
    )
    cases.server.cli("cancel", watch.job_id)
    assert cases.told("too_long") == "dismissed"


@on_slurm
def test_node_failure(cases: Cases, witness: Witness) -> None:
    site, server = cases.site, cases.server
    _runs(cases, "second")
    site.kill(site.node)
    try:
        words = cases.told("second")
        assert words.startswith("the compute node failed (NODE_FAIL"), words
        seconds = cases.after("second")
        assert seconds <= SOON
        # Its processes are alive; they find that they are not wanted any more.
        watch = cases.watches["second"]
        release(server, watch)
        servers.wait_for(
            lambda: "the job has already ended" in server.cli("log", watch.job_id).stdout,
            "the launcher gives up",
        )
        agree(server, site, [watch])
    finally:
        site.start(site.node)
    how = "SIGKILL to slurmd; the job's processes live on"
    witness("node failure", how, words, seconds, site.name)


def test_time_limit(cases: Cases, witness: Witness) -> None:
    words = cases.told("slow")
    limit = "00:01:00" if cases.site.name == "Slurm" else "00:00:12"
    assert words == f"killed: time limit {limit} reached"
    seconds = cases.after("slow")
    assert seconds <= SOON
    how = "the process counts on"
    witness("time limit", how, words, seconds, cases.site.name)


def test_all_of_it_agrees_in_the_end(cases: Cases) -> None:
    _end_rest(cases)
    agree(cases.server, cases.site, list(cases.watches.values()))
    assert cases.server.answers()
