"""Many jobs at once: handed over as a job array, each of them one job all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import Bench
from fake_scheduler import DONE, FakeScheduler
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.channels.local import Channel, Completed
from pywps_hpc.dispatch.purge import Purger
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.registry import DIALECTS
from pywps_hpc.dispatch.submit import PACE, Submitter
from pywps_hpc.jobs import Job, State, Wish, job_name
from pywps_hpc.jobs.retention import Expired


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    scheduler = FakeScheduler()
    scheduler.arrays = True
    return Bench(tmp_path, scheduler)


SQUEUE = "pywps-hpc|JOBID|STATE|REASON|NAME|end\n"
#: What the commands answer of whom nobody knows.
EMPTY = {
    "slurm": {
        "sbatch": Completed(1, "", "sbatch: error: Batch job submission failed: Socket timed out"),
        "squeue": Completed(0, SQUEUE, ""),
        "sacct": Completed(0, "JobID|State|ExitCode|ElapsedRaw|TimelimitRaw|JobName\n", ""),
    },
    "gridengine": {
        "qsub": Completed(1, "", "error: commlib error: got read error"),
        "qstat": Completed(0, "<?xml version='1.0'?><job_info></job_info>", ""),
        "qacct": Completed(1, "", "error: job name wnothing not found\n"),
    },
    "torque": {
        "qsub": Completed(1, "", "qsub: submit error (End of File)"),
        "qstat": Completed(0, "", ""),
    },
}


class Counting(Channel):
    """Answers each command always the same."""

    def __init__(self, answers: dict[str, Completed]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        self.asked.append(argv[0])
        unknown = "".join(f"qstat: Unknown Job Id Error {job}\n" for job in argv[3:])
        if argv[0] == "qstat" and argv[-1] != "-t" and "-xml" not in argv:
            return Completed(153, "", unknown)
        return self.answers[argv[0]]


def submissions(bench: Bench) -> int:
    return bench.scheduler.calls.count("submit")


def rows(bench: Bench, jobs: list[Job]) -> list[Job]:
    return [bench.row(job) for job in jobs]


def test_jobs_with_the_same_settings_go_as_one_array(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(7)]
    bench.cycle()
    found = rows(bench, jobs)
    assert submissions(bench) == 1
    assert {job.state for job in found} == {State.QUEUED}
    assert len({job.name for job in found}) == 1
    assert sorted(job.place for job in found) == list(range(1, 8))
    assert len({job.native_id for job in found}) == 7


def test_place_and_name_are_in_the_table_before_the_batch_system_is_asked(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(3)]
    seen = []
    bench.scheduler.on_submit = lambda batch: seen.extend(
        (job.state, job.name == batch.name, job.place) for job in rows(bench, jobs)
    )
    bench.cycle()
    assert sorted(seen, key=str) == [(State.SUBMITTING, True, place) for place in (1, 2, 3)]


def test_script_tells_each_element_its_job_and_digest(bench: Bench, tmp_path: Path) -> None:
    jobs = [bench.accept(digest=f"{number:064x}") for number in range(3)]
    bench.cycle()
    (batch,) = {batch.name: batch for batch in bench.scheduler.jobs.values()}.values()
    whole = batch.script.replace('case "${}"', 'case "$INDEX"')  # the local template has no arrays
    assert whole != batch.script
    before, _, _ = whole.partition("attempt=")
    for job in rows(bench, jobs):
        said = subprocess.run(
            ["sh", "-c", before + 'echo "$job_id $digest $job_dir"'],
            env={"INDEX": str(job.place)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert said == [job.id, job.digest, str(bench.folder(job).path)]
    nobody = subprocess.run(
        ["sh", "-c", before + "echo ran"], env={"INDEX": "9"}, capture_output=True, check=True
    )
    assert nobody.stdout == b""


def test_log_and_script_of_an_element_are_found_from_its_folder(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(2)]
    bench.cycle()
    (batch,) = {batch.name: batch for batch in bench.scheduler.jobs.values()}.values()
    for job in rows(bench, jobs):
        log = Path(batch.log) / f"log-{job.place}"
        assert not log.is_symlink()  # TORQUE's MOM would write to none
        log.write_text(f"of {job.id}")
        folder = bench.folder(job)
        assert folder.log.read_text() == f"of {job.id}"
        assert not folder.log.is_symlink()
        assert folder.script.read_text() == batch.script


def _no_second_names(link: Path, target: Path) -> None:
    raise PermissionError("no hard links on this file system")


@pytest.mark.parametrize("names", [Path.hardlink_to, _no_second_names])
def test_log_of_an_element_leads_to_its_folder_and_goes_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, names: Callable[[Path, Path], None]
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", names)
    jobs = [bench.accept() for _ in range(2)]
    bench.cycle()
    folder = bench.spool.array(bench.row(jobs[0]).name)
    for job in rows(bench, jobs):
        (folder / f"log-{job.place}").write_text(job.id)
        assert bench.folder(job).log.read_text() == job.id
        bench.spool.remove_orphaned(bench.spool.arrays())
        assert folder.exists()
        bench.spool.remove(job.id)
    bench.spool.remove_orphaned(bench.spool.arrays())
    assert not folder.exists()


def test_folder_of_an_array_goes_with_the_last_of_its_jobs(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(2)]
    bench.cycle()
    folder = bench.spool.array(bench.row(jobs[0]).name)
    bench.spool.remove(jobs[0].id)
    bench.spool.remove_orphaned(bench.spool.arrays())
    assert JobDir(folder).script.exists()
    bench.spool.remove(jobs[1].id)
    bench.spool.remove_orphaned(bench.spool.arrays())
    assert not folder.exists()


def test_folder_of_an_array_is_purged_with_the_last_of_its_jobs(bench: Bench) -> None:
    first, second = (bench.accept() for _ in range(2))
    bench.cycle()
    folder = bench.spool.array(bench.row(first).name)
    purger = Purger(bench.store, bench.spool)
    for job, stays in ((first, True), (second, False)):
        purger.remove(Expired(bench.row(job), "in this test"))
        assert purger.empty() == 1
        assert folder.exists() == stays


def test_folder_of_an_array_goes_though_somebody_else_purges_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [bench.accept() for _ in range(2)]
    bench.cycle()
    folder, delete = bench.spool.array(bench.row(jobs[0]).name), bench.spool.delete_discarded

    def both(job_id: str) -> None:
        delete(job_id)
        raise FileNotFoundError(2, "it was there a moment ago")

    purger = Purger(bench.store, bench.spool)
    for job in jobs:
        purger.remove(Expired(bench.row(job), "in this test"))
    monkeypatch.setattr(bench.spool, "delete_discarded", both)
    assert purger.empty() == 2
    assert not folder.exists()


def test_a_lone_job_is_no_array(bench: Bench) -> None:
    job = bench.accept()
    bench.cycle()
    assert bench.row(job).place == 0
    assert bench.row(job).name == job_name("w", job.id)


def test_jobs_with_settings_of_their_own_do_not_share_an_array(bench: Bench) -> None:
    special = replace(bench.settings.defaults, max_active=5)
    bench.settings = replace(bench.settings, processes={"special": special})
    bench.restart()
    jobs = [bench.accept(process=name) for name in ("hello", "special", "other", "special")]
    bench.cycle()
    names = [job.name for job in rows(bench, jobs)]
    assert names[0] == names[2] != names[1] == names[3]


def test_no_array_is_larger_than_the_site_allows(bench: Bench) -> None:
    bench.settings = replace(bench.settings, array_size=3)
    bench.restart()
    jobs = [bench.accept() for _ in range(8)]
    for _ in range(3):
        bench.cycle(later=PACE)
    assert submissions(bench) == 3
    assert max(job.place for job in rows(bench, jobs)) == 3
    assert {job.state for job in rows(bench, jobs)} == {State.QUEUED}


def test_what_comes_soon_after_waits_to_go_together(bench: Bench) -> None:
    first = bench.accept()
    bench.cycle()
    assert bench.row(first).state is State.QUEUED  # at once
    others = [bench.accept() for _ in range(3)]
    bench.cycle(later=PACE / 4)
    assert submissions(bench) == 1
    assert not bench.dispatcher._submitter.is_due()
    bench.now += PACE
    assert bench.dispatcher._submitter.is_due()
    bench.cycle()
    assert submissions(bench) == 2
    assert {job.state for job in rows(bench, others)} == {State.QUEUED}


def test_unclear_answer_for_an_array_that_was_taken_leads_each_job_to_its_id(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(4)]
    bench.scheduler.drop_reply = True
    bench.cycle()
    bench.restart()
    bench.cycle()
    found = rows(bench, jobs)
    assert {job.state for job in found} == {State.QUEUED}
    assert {bench.scheduler.places[job.native_id] == job.place for job in found} == {True}
    assert len(bench.scheduler.jobs) == 4


def test_array_that_was_not_taken_goes_again_under_the_same_name_and_places(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(3)]
    bench.scheduler.drop_reply = bench.scheduler.late = True
    bench.cycle()
    before = [(job.name, job.place) for job in rows(bench, jobs)]
    bench.scheduler.under_way.clear()
    bench.scheduler.drop_reply = False
    for _ in range(3):
        bench.cycle(later=61)
    found = rows(bench, jobs)
    assert {job.state for job in found} == {State.QUEUED}
    assert [(job.name, job.place) for job in found] == before


@pytest.mark.parametrize("system", ["slurm", "gridengine", "torque"])
def test_uncertain_array_costs_one_look_up_a_cycle_on_every_system(
    bench: Bench, system: str
) -> None:
    """Also after a restart that finds jobs of several arrays."""
    channel = Counting(EMPTY[system])
    bench.scheduler = CommandScheduler(DIALECTS[system](), channel)  # type: ignore[assignment]
    bench.restart()
    for size in (60, 40):
        for _ in range(size):
            bench.accept()
        bench.cycle(later=PACE)
    bench.restart()
    bench.cycle(later=PACE)  # it also asks whether the batch system answers
    channel.asked.clear()
    bench.cycle(later=PACE)
    assert len(bench.store.in_state({State.SUBMITTING})) == 100
    most = {"slurm": 2, "gridengine": 1 + 2, "torque": 1}[system]
    assert len(channel.asked) == most, channel.asked


def test_jobs_that_another_dispatcher_named_anew_meanwhile_are_submitted_under_their_names(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [bench.accept() for _ in range(3)]
    bench.scheduler.drop_reply = bench.scheduler.late = True
    bench.cycle()
    bench.scheduler.under_way.clear()
    bench.scheduler.drop_reply = False
    take, renamed = Submitter._take, []

    def rename_first(self: Submitter, group: Sequence[Job]) -> list[Job]:
        if group[0].place and not renamed:
            first = group[0]
            renamed.append(bench.store.note(first, name=job_name("w", first.id), place=0))
        return take(self, group)

    monkeypatch.setattr(Submitter, "_take", rename_first)
    for _ in range(4):
        bench.cycle(later=61)
    assert len(renamed) == 1
    found = rows(bench, jobs)
    assert {job.state for job in found} == {State.QUEUED}
    for job in found:
        assert bench.scheduler.find(job.name, job.place) == [job.native_id]
    assert len(bench.scheduler.jobs) == 3


def test_refused_array_goes_one_by_one_so_that_each_hears_its_own_verdict(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(3)]
    bench.scheduler.refuse_arrays = "Invalid job array specification"
    for _ in range(3):
        bench.cycle(later=PACE)
    found = rows(bench, jobs)
    assert {(job.state, job.place) for job in found} == {(State.QUEUED, 0)}
    assert [job.name for job in found] == [job_name("w", job.id) for job in jobs]


def test_one_element_is_dismissed_and_each_tells_its_own_reason(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(3)]
    bench.cycle()
    first, second, third = rows(bench, jobs)
    bench.store.wish(second.id, Wish.DISMISS)
    bench.cycle(later=PACE)
    assert bench.scheduler.cancelled == [second.native_id]
    bench.scheduler.forget(second.native_id)  # as Slurm does with an element that never started
    bench.succeed(first)
    bench.scheduler.say(first.native_id, DONE)
    late = JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT)
    bench.scheduler.say(third.native_id, late)
    for _ in range(8):  # the grace of an element without a record passes
        bench.cycle(later=10)
    first, second, third = rows(bench, jobs)
    assert (first.state, second.state) == (State.SUCCEEDED, State.DISMISSED)
    assert third.state is State.FAILED
    assert "time limit" in third.message


@pytest.mark.parametrize("arrays", [True, False])
def test_dismissed_jobs_are_looked_up_together(tmp_path: Path, arrays: bool) -> None:
    """Also those that went one by one, each under a name of its own."""
    scheduler = FakeScheduler()
    scheduler.arrays = arrays
    bench = Bench(tmp_path, scheduler)
    looked_up: list[int] = []
    find_all = scheduler.find_all

    def counted(wanted: Collection[tuple[str, int]]) -> object:
        looked_up.append(len(wanted))
        return find_all(wanted)

    jobs = [bench.accept() for _ in range(8)]
    bench.cycle()
    scheduler.find_all = counted  # type: ignore[method-assign, assignment]
    for job in rows(bench, jobs):
        bench.store.wish(job.id, Wish.DISMISS)
        scheduler.say(job.native_id, JobStatus(Phase.FINISHED, Outcome.CANCELLED))
    bench.cycle(later=PACE)
    assert {job.state for job in rows(bench, jobs)} == {State.DISMISSED}
    assert looked_up == [8]


def test_dismissal_before_the_submission_leaves_the_others_in_their_places(bench: Bench) -> None:
    jobs = [bench.accept() for _ in range(3)]
    bench.store.wish(jobs[1].id, Wish.DISMISS)
    bench.cycle()
    assert [job.state for job in rows(bench, jobs)] == [
        State.QUEUED,
        State.DISMISSED,
        State.QUEUED,
    ]
    assert len(bench.scheduler.jobs) == 2
