"""Many jobs at once: handed over as a job array, each of them one job all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE, FakeScheduler
from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.channels.local import Channel, Completed
from pywps_hpc.dispatch.purge import Purger
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, Resources
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.registry import DIALECTS
from pywps_hpc.dispatch.submission import Submission
from pywps_hpc.dispatch.submit import BATCH
from pywps_hpc.jobs import ControlRequest, Job, State, job_name
from pywps_hpc.jobs.retention import Expired
from pywps_hpc.timing import TIMING


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    scheduler = FakeScheduler()
    scheduler.arrays = True
    return DispatcherHarness(tmp_path, scheduler)


SQUEUE = "pywps-hpc|JOBID|STATE|REASON|NAME|end\n"
#: What the commands answer of whom nobody knows.
EMPTY = {
    "slurm": {
        "sbatch": Completed(1, "", "sbatch: error: Batch job submission failed: Socket timed out"),
        "squeue": Completed(0, SQUEUE, ""),
        "sacct": Completed(0, "JobID|State|ExitCode|ElapsedRaw|TimelimitRaw|Submit|JobName\n", ""),
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
    "openpbs": {
        "qsub": Completed(1, "", "qsub: Communication failure."),
        "qselect": Completed(0, "", ""),
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


def submissions(harness: DispatcherHarness) -> int:
    return harness.scheduler.calls.count("submit")


def rows(harness: DispatcherHarness, jobs: list[Job]) -> list[Job]:
    return [harness.row(job) for job in jobs]


def test_jobs_with_the_same_settings_go_as_one_array(harness: DispatcherHarness) -> None:
    jobs = [harness.accept() for _ in range(7)]
    harness.cycle()
    found = rows(harness, jobs)
    assert submissions(harness) == 1
    assert {job.state for job in found} == {State.QUEUED}
    assert len({job.name for job in found}) == 1
    assert sorted(job.array_index for job in found) == list(range(1, 8))
    assert len({job.native_id for job in found}) == 7


def test_place_and_name_are_in_the_table_before_the_batch_system_is_asked(
    harness: DispatcherHarness,
) -> None:
    jobs = [harness.accept() for _ in range(3)]
    seen = []
    harness.scheduler.on_submit = lambda batch: seen.extend(
        (job.state, job.name == batch.name, job.array_index) for job in rows(harness, jobs)
    )
    harness.cycle()
    assert sorted(seen, key=str) == [(State.SUBMITTING, True, place) for place in (1, 2, 3)]


def test_script_tells_each_element_its_job_and_digest(
    harness: DispatcherHarness, tmp_path: Path
) -> None:
    jobs = [harness.accept(digest=f"{number:064x}") for number in range(3)]
    harness.cycle()
    (batch,) = {batch.name: batch for batch in harness.scheduler.jobs.values()}.values()
    whole = batch.script.replace('case "${}"', 'case "$INDEX"')  # the local template has no arrays
    assert whole != batch.script
    before, _, _ = whole.partition("attempt=")
    for job in rows(harness, jobs):
        said = subprocess.run(
            ["sh", "-c", before + 'echo "$job_id $digest $job_dir"'],
            env={"INDEX": str(job.array_index)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert said == [job.id, job.digest, str(harness.folder(job).path)]
    nobody = subprocess.run(
        ["sh", "-c", before + "echo ran"], env={"INDEX": "9"}, capture_output=True, check=True
    )
    assert nobody.stdout == b""


def test_log_and_script_of_an_element_are_found_from_its_folder(harness: DispatcherHarness) -> None:
    jobs = [harness.accept() for _ in range(2)]
    harness.cycle()
    (batch,) = {batch.name: batch for batch in harness.scheduler.jobs.values()}.values()
    for job in rows(harness, jobs):
        log = Path(batch.log) / f"log-{job.array_index}"
        assert not log.is_symlink()  # TORQUE's MOM would write to none
        log.write_text(f"of {job.id}")
        folder = harness.folder(job)
        assert folder.log.read_text() == f"of {job.id}"
        assert not folder.log.is_symlink()
        assert folder.script.read_text() == batch.script


def _no_second_names(link: Path, target: Path) -> None:
    raise PermissionError("no hard links on this file system")


@pytest.mark.parametrize("names", [Path.hardlink_to, _no_second_names])
def test_log_of_an_element_leads_to_its_folder_and_goes_with_it(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch, names: Callable[[Path, Path], None]
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", names)
    jobs = [harness.accept() for _ in range(2)]
    harness.cycle()
    folder = harness.spool.array(harness.row(jobs[0]).name)
    for job in rows(harness, jobs):
        (folder / f"log-{job.array_index}").write_text(job.id)
        assert harness.folder(job).log.read_text() == job.id
        harness.spool.remove_orphaned(harness.spool.arrays())
        assert folder.exists()
        harness.spool.remove(job.id)
    harness.spool.remove_orphaned(harness.spool.arrays())
    assert not folder.exists()


def test_folder_of_an_array_goes_with_the_last_of_its_jobs(harness: DispatcherHarness) -> None:
    jobs = [harness.accept() for _ in range(2)]
    harness.cycle()
    folder = harness.spool.array(harness.row(jobs[0]).name)
    harness.spool.remove(jobs[0].id)
    harness.spool.remove_orphaned(harness.spool.arrays())
    assert JobDir(folder).script.exists()
    harness.spool.remove(jobs[1].id)
    harness.spool.remove_orphaned(harness.spool.arrays())
    assert not folder.exists()


def test_folder_of_an_array_is_purged_with_the_last_of_its_jobs(harness: DispatcherHarness) -> None:
    first, second = (harness.accept() for _ in range(2))
    harness.cycle()
    folder = harness.spool.array(harness.row(first).name)
    purger = Purger(harness.store, harness.spool)
    for job, stays in ((first, True), (second, False)):
        purger.remove(Expired(harness.row(job), "in this test"))
        assert purger.empty() == 1
        assert folder.exists() == stays


def test_folder_of_an_array_goes_though_somebody_else_purges_too(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [harness.accept() for _ in range(2)]
    harness.cycle()
    folder, delete = harness.spool.array(harness.row(jobs[0]).name), harness.spool.delete_discarded

    def both(job_id: str) -> None:
        delete(job_id)
        raise FileNotFoundError(2, "it was there a moment ago")

    purger = Purger(harness.store, harness.spool)
    for job in jobs:
        purger.remove(Expired(harness.row(job), "in this test"))
    monkeypatch.setattr(harness.spool, "delete_discarded", both)
    assert purger.empty() == 2
    assert not folder.exists()


def test_a_lone_job_is_no_array(harness: DispatcherHarness) -> None:
    job = harness.accept()
    harness.cycle()
    assert harness.row(job).array_index == 0
    assert harness.row(job).name == job_name("w", job.id)


def test_jobs_with_settings_of_their_own_do_not_share_an_array(harness: DispatcherHarness) -> None:
    special = replace(harness.settings.defaults, max_active=5)
    harness.settings = replace(harness.settings, processes={"special": special})
    harness.restart()
    jobs = [harness.accept(process=name) for name in ("hello", "special", "other", "special")]
    harness.cycle()
    names = [job.name for job in rows(harness, jobs)]
    assert names[0] == names[2] != names[1] == names[3]


def test_no_array_is_larger_than_the_site_allows(harness: DispatcherHarness) -> None:
    harness.settings = replace(harness.settings, array_size=3)
    harness.restart()
    jobs = [harness.accept() for _ in range(8)]
    for _ in range(3):
        harness.cycle(later=TIMING.array_pace)
    assert submissions(harness) == 3
    assert max(job.array_index for job in rows(harness, jobs)) == 3
    assert {job.state for job in rows(harness, jobs)} == {State.QUEUED}


def test_after_a_full_array_the_next_one_goes_at_once(harness: DispatcherHarness) -> None:
    harness.settings = replace(harness.settings, array_size=3)
    harness.restart()
    jobs = [harness.accept() for _ in range(7)]
    harness.cycle()
    assert harness.dispatcher._submitter.due_in() <= 0
    harness.cycle()
    harness.cycle()
    assert submissions(harness) == 3
    assert {job.state for job in rows(harness, jobs)} == {State.QUEUED}
    few, full = harness.accept(), [harness.accept() for _ in range(2)]
    harness.cycle()  # the pace does not keep a full one
    assert {job.state for job in rows(harness, [few, *full])} == {State.QUEUED}


def test_what_comes_soon_after_waits_to_go_together(harness: DispatcherHarness) -> None:
    first = harness.accept()
    harness.cycle()
    assert harness.row(first).state is State.QUEUED  # at once
    others = [harness.accept() for _ in range(3)]
    harness.cycle(later=TIMING.array_pace / 4)
    assert submissions(harness) == 1
    assert 0 < harness.dispatcher._submitter.due_in() < TIMING.array_pace
    harness.now += TIMING.array_pace
    assert harness.dispatcher._submitter.due_in() <= 0
    harness.cycle()
    assert submissions(harness) == 2
    assert {job.state for job in rows(harness, others)} == {State.QUEUED}


def test_unclear_answer_for_an_array_that_was_taken_leads_each_job_to_its_id(
    harness: DispatcherHarness,
) -> None:
    jobs = [harness.accept() for _ in range(4)]
    harness.scheduler.drop_reply = True
    harness.cycle()
    harness.restart()
    harness.cycle()
    found = rows(harness, jobs)
    assert {job.state for job in found} == {State.QUEUED}
    assert {harness.scheduler.indices[job.native_id] == job.array_index for job in found} == {True}
    assert len(harness.scheduler.jobs) == 4


def test_array_that_was_not_taken_goes_again_under_the_same_name_and_places(
    harness: DispatcherHarness,
) -> None:
    jobs = [harness.accept() for _ in range(3)]
    harness.scheduler.drop_reply = harness.scheduler.late = True
    harness.cycle()
    before = [(job.name, job.array_index) for job in rows(harness, jobs)]
    harness.scheduler.under_way.clear()
    harness.scheduler.drop_reply = False
    for _ in range(3):
        harness.cycle(later=61)
    found = rows(harness, jobs)
    assert {job.state for job in found} == {State.QUEUED}
    assert [(job.name, job.array_index) for job in found] == before


@pytest.mark.parametrize("system", ["slurm", "gridengine", "torque", "openpbs"])
def test_uncertain_array_costs_one_look_up_a_cycle_on_every_system(
    harness: DispatcherHarness, system: str
) -> None:
    """Also after a restart that finds jobs of several arrays."""
    channel = Counting(EMPTY[system])
    resources = replace(harness.settings.defaults.resources, requeue=True)
    defaults = replace(harness.settings.defaults, resources=resources)
    harness.settings = replace(harness.settings, defaults=defaults)
    harness.scheduler = CommandScheduler(DIALECTS[system](), channel)  # type: ignore[assignment]
    harness.restart()
    for size in (60, 40):
        for _ in range(size):
            harness.accept()
        harness.cycle(later=TIMING.array_pace)
    harness.restart()
    harness.cycle(later=TIMING.array_pace)  # it also asks whether the batch system answers
    channel.asked.clear()
    harness.cycle(later=TIMING.array_pace)
    assert len(harness.store.in_state({State.SUBMITTING})) == 100
    most = {"slurm": 2, "gridengine": 1 + 2, "torque": 1, "openpbs": 2 * 2}[system]
    assert len(channel.asked) == most, channel.asked


class NoArraysUnlessRequeued(FakeScheduler):
    """As OpenPBS."""

    def takes_arrays(self, need: Resources) -> bool:
        return need.requeue


def test_jobs_that_may_not_go_as_an_array_go_one_by_one_a_few_a_turn(
    harness: DispatcherHarness,
) -> None:
    harness.scheduler = NoArraysUnlessRequeued()
    harness.scheduler.arrays = True
    harness.restart()
    jobs = [harness.accept() for _ in range(BATCH + 3)]
    harness.cycle()
    assert submissions(harness) == BATCH
    assert harness.dispatcher._submitter.due_in() <= 0
    harness.cycle()
    assert submissions(harness) == BATCH + 3
    found = rows(harness, jobs)
    assert {(job.state, job.array_index) for job in found} == {(State.QUEUED, 0)}


def test_jobs_that_another_dispatcher_named_anew_meanwhile_are_submitted_under_their_names(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [harness.accept() for _ in range(3)]
    harness.scheduler.drop_reply = harness.scheduler.late = True
    harness.cycle()
    harness.scheduler.under_way.clear()
    harness.scheduler.drop_reply = False
    take, renamed = Submission._take, []

    def rename_first(self: Submission, group: Sequence[Job]) -> list[Job]:
        if group[0].array_index and not renamed:
            first = group[0]
            renamed.append(harness.store.note(first, name=job_name("w", first.id), array_index=0))
        return take(self, group)

    monkeypatch.setattr(Submission, "_take", rename_first)
    for _ in range(4):
        harness.cycle(later=61)
    assert len(renamed) == 1
    found = rows(harness, jobs)
    assert {job.state for job in found} == {State.QUEUED}
    for job in found:
        assert harness.scheduler.find(job.name, job.array_index) == [job.native_id]
    assert len(harness.scheduler.jobs) == 3


def test_refused_array_goes_one_by_one_so_that_each_hears_its_own_verdict(
    harness: DispatcherHarness,
) -> None:
    jobs = [harness.accept() for _ in range(3)]
    harness.scheduler.refuse_arrays = "Invalid job array specification"
    for _ in range(3):
        harness.cycle(later=TIMING.array_pace)
    found = rows(harness, jobs)
    assert {(job.state, job.array_index) for job in found} == {(State.QUEUED, 0)}
    assert [job.name for job in found] == [job_name("w", job.id) for job in jobs]


def test_one_element_is_dismissed_and_each_tells_its_own_reason(harness: DispatcherHarness) -> None:
    jobs = [harness.accept() for _ in range(3)]
    harness.cycle()
    first, second, third = rows(harness, jobs)
    harness.store.request(second.id, ControlRequest.DISMISS)
    harness.cycle(later=TIMING.array_pace)
    assert harness.scheduler.cancelled == [second.native_id]
    harness.scheduler.forget(second.native_id)  # as Slurm does with an element that never started
    harness.succeed(first)
    harness.scheduler.say(first.native_id, DONE)
    late = JobStatus(Phase.FINISHED, Outcome.TIME_LIMIT)
    harness.scheduler.say(third.native_id, late)
    for _ in range(8):  # the grace of an element without a record passes
        harness.cycle(later=10)
    first, second, third = rows(harness, jobs)
    assert (first.state, second.state) == (State.SUCCEEDED, State.DISMISSED)
    assert third.state is State.FAILED
    assert "time limit" in third.message


@pytest.mark.parametrize("arrays", [True, False])
def test_dismissed_jobs_are_looked_up_together(tmp_path: Path, arrays: bool) -> None:
    """Also those that went one by one, each under a name of its own."""
    scheduler = FakeScheduler()
    scheduler.arrays = arrays
    harness = DispatcherHarness(tmp_path, scheduler)
    looked_up: list[int] = []
    find_all = scheduler.find_all

    def counted(wanted: Collection[tuple[str, int]]) -> object:
        looked_up.append(len(wanted))
        return find_all(wanted)

    jobs = [harness.accept() for _ in range(8)]
    harness.cycle()
    scheduler.find_all = counted  # type: ignore[method-assign, assignment]
    for job in rows(harness, jobs):
        harness.store.request(job.id, ControlRequest.DISMISS)
        scheduler.say(job.native_id, JobStatus(Phase.FINISHED, Outcome.CANCELLED))
    harness.cycle(later=TIMING.array_pace)
    assert {job.state for job in rows(harness, jobs)} == {State.DISMISSED}
    assert looked_up == [8]


def test_dismissal_before_the_submission_leaves_the_others_in_their_places(
    harness: DispatcherHarness,
) -> None:
    jobs = [harness.accept() for _ in range(3)]
    harness.store.request(jobs[1].id, ControlRequest.DISMISS)
    harness.cycle()
    assert [job.state for job in rows(harness, jobs)] == [
        State.QUEUED,
        State.DISMISSED,
        State.QUEUED,
    ]
    assert len(harness.scheduler.jobs) == 2
