"""What jobs asked for and used, by process, owner, account and month."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli_desk import Desk
from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE, RUNNING
from joblauncher.shared.pilotdir import PILOTS, PilotDir
from pywps_hpc import settings
from pywps_hpc.cli import commands
from pywps_hpc.jobs import Cause, Job, State
from pywps_hpc.jobs.usage import grouped, percentile
from pywps_hpc.settings import Container, ProcessSettings, Resources
from servers import write_config

NOVEMBER = 1793534400.0  # 2026-11-01T12:00:00Z
USED = {"cpu_seconds": 30.0, "peak_memory_mib": 100.0, "elapsed_seconds": 20.0}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    config = write_config(tmp_path, "http://127.0.0.1:9/wps")
    desk = Desk(config, settings.load([config]))
    desk.store()
    return desk


def ended(**facts: object) -> Job:
    known = {"id": "i", "name": "w", "process": "p", "digest": "d", "state": State.SUCCEEDED}
    known |= {"created": NOVEMBER, "submitted": NOVEMBER + 1, "started": NOVEMBER + 11}
    known |= {"finished": NOVEMBER + 31, "cpus": 2, "memory": 512}
    return Job(**(known | facts))  # type: ignore[arg-type]


def run(desk: Desk, *arguments: str) -> str:
    line = ["usage", "--config", str(desk.config), *arguments]
    done = CliRunner().invoke(commands, line)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_a_job_asks_for_and_uses_is_recorded_where_it_is_submitted_and_ends(
    tmp_path: Path,
) -> None:
    harness = DispatcherHarness(tmp_path)
    need = Resources(cpus=3, memory=4096, account="climate")
    own = ProcessSettings(need, Container(runtime="none"))
    harness.settings = dataclasses.replace(harness.settings, processes={"other": own})
    harness.restart()
    jobs = [harness.accept(), harness.accept(), harness.accept(process="other")]
    harness.cycle()
    for job in jobs:
        harness.scheduler.say(harness.row(job).native_id, RUNNING)
        harness.begin(job)
    harness.cycle(later=10)
    for job in jobs[1:]:
        harness.succeed(job, usage=USED)
        harness.scheduler.say(harness.row(job).native_id, DONE)
    harness.fail(jobs[0], "no such luck", "process")
    harness.scheduler.say(harness.row(jobs[0]).native_id, DONE)
    harness.cycle(later=10)
    plain, same, other = map(harness.row, jobs)
    assert [row.cpus for row in (plain, same, other)] == [1, 1, 3]
    assert (other.memory, other.account) == (4096, "climate")
    assert (other.cpu_seconds, other.peak_memory) == (30.0, 100.0)
    assert (same.cpu_seconds, same.memory) == (30.0, 2048)
    assert (plain.state, plain.cpu_seconds, plain.peak_memory) == (State.FAILED, None, None)


def test_what_a_job_of_several_nodes_is_given_are_the_cores_of_all(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    own = ProcessSettings(Resources(cpus=3, nodes=2, tasks=8), Container(runtime="none"))
    harness.settings = dataclasses.replace(harness.settings, processes={"other": own})
    harness.restart()
    job = harness.accept(process="other")
    harness.cycle()
    assert harness.row(job).cpus == 24


def test_times_processor_and_memory_are_summed_up() -> None:
    jobs = [
        ended(cpu_seconds=30.0, peak_memory=100.0),
        ended(cpu_seconds=10.0, peak_memory=300.0, started=NOVEMBER + 3),
        ended(state=State.FAILED, cause=Cause.MEMORY),
        ended(state=State.RUNNING, finished=0.0),
        ended(state=State.DISMISSED, started=0.0, submitted=0.0, cpus=0, memory=0),
    ]
    (group,) = grouped(jobs, ())
    assert (group.jobs, group.succeeded, group.failed, group.dismissed) == (5, 2, 1, 1)
    assert (group.queue_p50, group.queue_p95) == (10.0, 10.0)
    assert (group.run_p50, group.run_p95) == (20.0, 28.0)
    assert group.cpu_asked == 2 * (20 + 28 + 20)
    assert (group.cpu_used, group.measured) == (40.0, 2)
    assert (group.memory_asked, group.memory_used) == (512, 300.0)
    assert group.causes == {"memory": 1}


def test_what_is_not_known_is_not_told_as_nothing() -> None:
    (group,) = grouped([ended(state=State.QUEUED, started=0.0, finished=0.0, memory=0)], ())
    told = (group.queue_p50, group.run_p95, group.cpu_asked, group.cpu_used, group.memory_used)
    assert told == (None,) * 5
    assert group.memory_asked is None


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, None), ([7.0], 95, 7.0), ([1.0, 2.0, 3.0, 4.0], 50, 2.0), ([1.0, 2.0], 95, 2.0)],
)
def test_percentiles_are_values_that_occurred(
    values: list[float], percent: float, expected: float | None
) -> None:
    assert percentile(values, percent) == expected


def test_jobs_are_grouped_by_every_key_and_chosen_by_owner_process_and_time(desk: Desk) -> None:
    common = {"state": State.SUCCEEDED, "submitted": 1.0}
    desk.add(**common, owner="ada", process="p", account="x", created=NOVEMBER)
    desk.add(**common, owner="ada", process="q", account="y", created=NOVEMBER + 30 * 86400)
    desk.add(**common, owner="ben", process="p", account="x", created=NOVEMBER)

    def told(*arguments: str) -> list[tuple[object, ...]]:
        found = [json.loads(line) for line in run(desk, "--json", *arguments).splitlines()]
        return [(*list(one.values())[: -len(GROUP)], one["jobs"]) for one in found]

    assert told() == [("p", 2), ("q", 1)]
    assert told("--by", "owner") == [("ada", 2), ("ben", 1)]
    assert told("--by", "month", "--by", "account") == [
        ("2026-11", "x", 2),
        ("2026-12", "y", 1),
    ]
    assert told("--owner", "ada", "--process", "p") == [("p", 1)]
    assert told("--since", "2026-11-20", "--by", "owner") == [("ada", 1)]
    assert told("--until", "2026-11-20", "--by", "owner") == [("ada", 1), ("ben", 1)]


GROUP = [name for name in grouped([ended()], ())[0].__dataclass_fields__ if name != "keys"]


def test_usage_is_a_table_for_people_and_for_spreadsheets(desk: Desk) -> None:
    desk.add(owner="=1+1", state=State.FAILED, cause=Cause.TIME, created=time.time())
    desk.add(owner="ada, b", state=State.SUCCEEDED, created=time.time(), cpu_seconds=1.5)
    rows = list(csv.DictReader(io.StringIO(run(desk, "--by", "owner", "--csv"))))
    assert [row["owner"] for row in rows] == ["'=1+1", "ada, b"]
    assert (rows[0]["failed_time"], rows[0]["cpu_used"]) == ("1", "")
    assert (rows[1]["cpu_used"], rows[1]["failed_time"]) == ("1.5", "0")
    shown = run(desk, "--by", "owner").splitlines()
    assert len(shown) == 3
    assert "time 1" in shown[1]


SACCT = """\
#!/bin/sh
echo "$*" >> {folder}/asked
[ -e {folder}/off ] && { echo "Slurm accounting storage is disabled" >&2; exit 1; }
cat << end
7|1793000000|1793000100|99|09:30.500||wabc
7.batch|1793000100|1793000100|99|09:30.500|999M|batch
7|1793534401|1793534411|20|00:30.500||wabc
7.batch|1793534411|1793534411|20|00:30.500|307200K|batch
7.extern|1793534411|1793534411|20|00:00|1M|extern
8|1793534401|Unknown|0|00:00:00||wabc
9|1793534401|1793534403|90061|1-01:01:01||wabc
9.batch|1793534401|1793534403|90061|1-01:01:01|2G|batch
10|1793534401|1793534403|5|00:05||another
end
"""


@pytest.fixture
def slurm_desk(tmp_path: Path) -> Desk:
    (tmp_path / "sacct").write_text(SACCT.replace("{folder}", str(tmp_path)))
    (tmp_path / "sacct").chmod(0o755)
    sections = {"hpc": {"scheduler": "slurm", "command_path": f"{tmp_path}:/usr/bin:/bin"}}
    config = write_config(tmp_path, "http://127.0.0.1:9/wps", **sections)
    desk = Desk(config, settings.load([config]))
    for native_id in ("7", "8", "9", "10"):
        facts = {"created": NOVEMBER, "submitted": NOVEMBER + 1, "started": NOVEMBER + 9}
        facts |= {"finished": NOVEMBER + 11, "cpus": 1, "memory": 512, "owner": native_id}
        desk.add(native_id=native_id, state=State.SUCCEEDED, cpu_seconds=1.0, **facts)
    return desk


def test_the_accounting_replaces_what_the_nodes_told(slurm_desk: Desk) -> None:
    told = run(slurm_desk, "--accounting", "--json", "--by", "owner")
    groups = {group["owner"]: group for group in map(json.loads, told.splitlines())}
    known = ("queue_p50", "run_p50", "cpu_used", "memory_used")
    assert [groups["7"][name] for name in known] == [10.0, 20.0, 30.5, 300.0]
    assert [groups["9"][name] for name in known] == [2.0, 90061.0, 90061.0, 2048.0]
    for nothing in ("8", "10"):  # it never started; its number is another job's
        assert [groups[nothing][name] for name in known] == [None] * 4


def test_the_accounting_is_not_asked_about_jobs_of_pilots(slurm_desk: Desk) -> None:
    spool = slurm_desk.settings.spool
    inside, alone = "pilot-0123456789ab.wabc", "pilot-ba9876543210.wabc"
    for native_id in (inside, alone):
        folder = PilotDir(spool / PILOTS / native_id.partition(".")[0])
        (folder.path / "moved").mkdir(parents=True)
        (folder.path / "native").write_text("8")
    (folder.path / "moved" / "wabc").write_text("9")
    for native_id in (inside, alone):
        facts = {"created": NOVEMBER, "submitted": NOVEMBER + 1, "owner": native_id}
        slurm_desk.add(native_id=native_id, state=State.SUCCEEDED, cpu_seconds=1.0, **facts)
    told = run(slurm_desk, "--accounting", "--json", "--by", "owner")
    groups = {group["owner"]: group for group in map(json.loads, told.splitlines())}
    assert groups[inside]["cpu_used"] is None
    assert groups[alone]["cpu_used"] == groups["9"]["cpu_used"] == 90061.0
    asked = (slurm_desk.config.parent / "asked").read_text()
    assert "--jobs=" in asked
    assert "pilot" not in asked


def test_without_accounting_what_jobs_used_is_not_known(slurm_desk: Desk) -> None:
    (slurm_desk.config.parent / "off").touch()
    (group,) = map(json.loads, run(slurm_desk, "--accounting", "--json").splitlines())
    assert (group["jobs"], group["measured"], group["cpu_used"], group["run_p50"]) == (
        *(4, 0),
        *(None, None),
    )


def test_a_batch_system_without_such_accounting_is_named(desk: Desk) -> None:
    line = ["usage", "--config", str(desk.config), "--accounting"]
    done = CliRunner().invoke(commands, line)
    assert (done.exit_code, "nothing can be asked of local's accounting" in done.output) == (
        1,
        True,
    )


def on_two_nodes(desk: Desk) -> None:
    desk.config.write_text(desk.config.read_text() + "\n[hpc.process.spread]\nnodes = 2\n")


def told_of_spread(desk: Desk, *arguments: str) -> dict[str, dict[str, object]]:
    told = run(desk, "--json", "--by", "owner", "--process", "spread", *arguments)
    return {group["owner"]: group for group in map(json.loads, told.splitlines())}


def test_what_jobs_of_several_nodes_used_is_what_the_accounting_says_of_all_nodes(
    slurm_desk: Desk,
) -> None:
    facts = {"created": NOVEMBER, "submitted": NOVEMBER + 1, "started": NOVEMBER + 9}
    facts |= {
        "finished": NOVEMBER + 11,
        "cpu_seconds": 1.0,
        "peak_memory": 50.0,
        "process": "spread",
    }
    for native_id in ("7", "10", "11"):
        slurm_desk.add(native_id=native_id, owner=native_id, state=State.SUCCEEDED, **facts)
    assert told_of_spread(slurm_desk)["7"]["cpu_used"] == 1.0
    assert not (slurm_desk.config.parent / "asked").exists()
    on_two_nodes(slurm_desk)
    told = told_of_spread(slurm_desk)
    assert (told["7"]["cpu_used"], told["7"]["memory_used"], told["7"]["run_p50"]) == (
        *(30.5, 300.0),
        2.0,  # from the row
    )
    for unknown in ("10", "11"):  # another job's number; not in the accounting
        assert (told[unknown]["cpu_used"], told[unknown]["measured"]) == (None, 0)
    (asked,) = (slurm_desk.config.parent / "asked").read_text().splitlines()
    assert asked.endswith("--jobs=7,10,11")


def test_what_jobs_of_several_nodes_used_is_not_known_where_nobody_tells_it(
    slurm_desk: Desk,
) -> None:
    facts = {"created": NOVEMBER, "cpu_seconds": 1.0, "peak_memory": 50.0, "process": "spread"}
    slurm_desk.add(native_id="7", owner="7", state=State.SUCCEEDED, **facts)
    on_two_nodes(slurm_desk)
    (slurm_desk.config.parent / "off").touch()
    assert told_of_spread(slurm_desk)["7"]["cpu_used"] is None
    (slurm_desk.config.parent / "sacct").write_text("#!/bin/sh\nexit 1\n")
    line = ["usage", "--config", str(slurm_desk.config), "--json", "--process", "spread"]
    done = CliRunner().invoke(commands, line)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["cpu_used"] is None
    assert "of jobs of several nodes: the accounting cannot be asked: " in done.stderr


QACCT = """\
#!/bin/sh
[ "$2" = 7 ] || {{ echo "error: job id $2 not found" >&2; exit 1; }}
cat << end
{records}
end
"""
RECORD = """\
==============================================================
jobname      {name}
jobnumber    7
taskid       undefined
pe_taskid    {rank}
qsub_time    {submitted}
start_time   {started}
end_time     {ended}
failed       0
exit_status  0
ru_wallclock {elapsed}s
cpu          {cpu}s
maxvmem      2.000G"""


def at(second: int) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(NOVEMBER + second))


@pytest.fixture
def gridengine_desk(tmp_path: Path) -> Desk:
    def record(cpu: float, submitted: int, started: int, ended: int, rank: str = "NONE") -> str:
        when = {"submitted": at(submitted), "started": at(started), "ended": at(ended)}
        return RECORD.format(cpu=cpu, rank=rank, name="wabc", elapsed=ended - started, **when)

    records = [
        record(1000.0, -500, -490, -400),  # another job's, which had its number
        record(1000.0, -500, -489, -401, "1.other"),
        record(20.0, 1, 12, 30, "1.node2"),
        record(30.5, 1, 11, 31),
    ]
    (tmp_path / "qacct").write_text(QACCT.format(records="\n".join(records)))
    (tmp_path / "qacct").chmod(0o755)
    sections = {"hpc": {"scheduler": "gridengine", "command_path": f"{tmp_path}:/usr/bin:/bin"}}
    config = write_config(tmp_path, "http://127.0.0.1:9/wps", **sections)
    desk = Desk(config, settings.load([config]))
    facts = {"created": NOVEMBER, "submitted": NOVEMBER + 1, "process": "spread"}
    for native_id in ("7", "8"):
        desk.add(native_id=native_id, owner=native_id, state=State.SUCCEEDED, **facts)
    return desk


@pytest.mark.parametrize("arguments", [(), ("--accounting",)])
def test_the_records_of_all_hosts_of_a_job_of_grid_engine_count(
    gridengine_desk: Desk, arguments: tuple[str, ...]
) -> None:
    on_two_nodes(gridengine_desk)
    told = told_of_spread(gridengine_desk, *arguments)
    assert (told["7"]["cpu_used"], told["7"]["memory_used"]) == (50.5, None)
    assert told["8"]["cpu_used"] is None
    if arguments:
        assert (told["7"]["queue_p50"], told["7"]["run_p50"]) == (10.0, 20.0)
