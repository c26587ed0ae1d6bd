"""The scheduler contract over a stand-in for OpenPBS that really runs the jobs (pbs_standin)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pbs_site
from pbs_site import PbsContract, PbsSilence, configure, run_command
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    NotPermitted,
    Outcome,
    Phase,
    Resources,
    Scheduler,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.dialects.openpbs import OpenPbsDialect
from scheduler_contract import UNKNOWN_ID, SchedulerContract
from servers import wait_for


@pytest.fixture
def state(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return pbs_site.new_state(tmp_path / "openpbs", request.node.name, queues=["workq"])


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def scheduler(state: Path) -> Iterator[Scheduler]:
    yield from pbs_site.run_scheduler(OpenPbsDialect(), state, "pbs1", history=True)


class TestOpenPbs(PbsContract):
    index = "PBS_ARRAY_INDEX"
    start = str(Path.home())

    def job(self, scheduler: Scheduler, logs: Path, body: str, **more: Any) -> BatchJob:
        if more.get("array_indices"):  # no others go as an array
            more["requeue"] = True
            assert scheduler.takes_arrays(Resources(requeue=True))
        return super().job(scheduler, logs, body, **more)

    # --- where OpenPBS differs

    def test_one_waiting_element_is_held_released_and_cancelled_alone(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        """It can be cancelled; a hold is refused, by whom is said."""
        own = {index: logs / f"log-{index}" for index in (1, 2, 3)}
        first, second, third = self.submit_waiting_array(
            scheduler, logs, 15, "echo here", (1, 2, 3)
        )
        with pytest.raises(NotPermitted, match="as a whole only"):
            scheduler.pause([first])
        assert scheduler.poll([first])[first].phase is Phase.QUEUED
        scheduler.cancel([third])
        assert self.until(scheduler, third, Phase.FINISHED).outcome is Outcome.CANCELLED
        for job in (first, second):
            assert self.until(scheduler, job, Phase.FINISHED, patience=60 + self.patience)
        assert [own[index].read_text() for index in (1, 2)] == ["here\n", "here\n"]
        # Now that the array is over its exit status is another one.
        assert scheduler.poll([third])[third].outcome is Outcome.CANCELLED
        assert not own[3].exists()

    # --- OpenPBS's own cases

    def test_suspended_job_that_is_cancelled_gets_a_term_first(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, kill_delay=60)
        body = "trap 'echo got TERM; exit 1' TERM; echo ready; while :; do sleep 0.1; done"
        job = self.job(scheduler, logs, body)
        (number,) = scheduler.submit(job)
        self.until_ready(scheduler, number, Path(job.log))
        self.suspend(scheduler, number)
        scheduler.cancel([number])
        assert self.until(scheduler, number, Phase.FINISHED).outcome is Outcome.CANCELLED
        assert "got TERM" in Path(job.log).read_text()

    def test_suspended_job_is_cancelled_by_an_owner_who_may_not_resume_it(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, kill_delay_suspended=2)
        job = self.started(scheduler, logs)
        self.suspend(scheduler, job)
        configure(state, operators=[])
        scheduler.cancel([job])
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.CANCELLED

    def test_array_of_one_place_runs_it_and_no_other(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        body = "[ $PBS_ARRAY_INDEX = 7 ] || exit 0; exit 3"
        array = self.job(scheduler, logs, body, array_indices=(7,))
        (seventh,) = scheduler.submit(array)
        assert scheduler.find(array.name, 7) == [seventh]
        assert self.until(scheduler, seventh, Phase.FINISHED).exit_code == 3

    def test_without_history_a_job_that_ended_is_missing_everywhere(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, history=False)
        job = self.job(scheduler, logs, "sleep 600", walltime=1)
        (number,) = scheduler.submit(job)
        assert scheduler.poll([number]).keys() == {number}
        wait_for(lambda: not scheduler.poll([number]), "the job is forgotten", 120)
        assert scheduler.history([number]) == {}
        assert scheduler.forgotten == {number}
        assert scheduler.find(job.name) == []
        scheduler.cancel([number, UNKNOWN_ID])
        # Only its log knows how it ended.
        assert scheduler.explain(Path(job.log).read_text()) is Outcome.TIME_LIMIT

    def test_job_that_no_node_can_hold_waits_and_says_so(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.submit(scheduler, logs, "true", cpus=64)
        status = self.until(scheduler, job, lambda status: status.hopeless)
        assert status.phase is Phase.QUEUED
        assert "Can Never Run" in status.detail

    def test_array_that_must_not_be_started_again_is_refused(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        assert not scheduler.takes_arrays(Resources(requeue=False))
        array = SchedulerContract.job(self, scheduler, logs, "true", array_indices=(1, 2))
        with pytest.raises(SubmissionRefused, match="non-rerunable"):
            scheduler.submit(array)


class TestOpenPbsDoesNotAnswer(PbsSilence):
    contract = TestOpenPbs
    codes = (162, 255)


class TestStandIn:
    """It says what real OpenPBS said (captured/openpbs)."""

    def captured(self, case: str, job: str) -> tuple[int, str]:
        return pbs_site.captured("openpbs", case, r"\b(2|37|45|80)\.pbs1", job)

    def test_refusals_and_unknown_jobs(self, scheduler: Scheduler, logs: Path, state: Path) -> None:
        configure(state, operators=[])
        contract = TestOpenPbs()
        running = contract.submit(scheduler, logs, "sleep 600")
        over = contract.submit(scheduler, logs, "true")
        contract.until(scheduler, running, Phase.RUNNING)
        contract.until(scheduler, over, Phase.FINISHED)
        for case, job, command in (
            ("qdel_unknown", "", "qdel 999999"),
            ("qdel_finished", over, f"qdel {over}"),
            ("qhold_finished", over, f"qhold {over}"),
            ("qhold_running", running, f"qhold {running}"),
            ("qrls_running", running, f"qrls {running}"),
            ("qsig_suspend_finished", over, f"qsig -s suspend {over}"),
            ("qsig_suspend_owner", running, f"qsig -s suspend {running}"),
            ("qsig_resume_owner", running, f"qsig -s resume {running}"),
            ("qstat_fw_ok", over, f"qstat -f -w {over}"),
            ("qstat_f_unknown", "", "qstat -f -w 999999"),
            ("qselect_N_unknown", "", "qselect -T -N nosuchname"),
            ("qselect_xTN_unknown", "", "qselect -x -T -N nosuchname"),
        ):
            assert run_command("openpbs", state, *command.split()) == self.captured(case, job), case
        configure(state, history=False)
        for case, job, command in (
            ("nohistory_qstat_xf_running", running, f"qstat -x -f -w {running}"),
            ("nohistory_qstat_f_ended", over, f"qstat -f -w {over}"),
            ("nohistory_qselect_xTN", "", "qselect -x -T -N tnh"),
        ):
            assert run_command("openpbs", state, *command.split()) == self.captured(case, job), case

    @pytest.mark.parametrize(
        ("case", "options"),
        [
            ("unknown_queue", "-q nowhere"),
            ("bad_resource", "-l nosuchres=1"),
            ("bad_resource_in_select", "-l select=1:nosuchres=1"),
            ("torque_d", "-d /"),
            ("torque_t", "-t 1-3"),
            ("array_of_one", "-J 1-1"),
        ],
    )
    def test_refused_submissions(self, state: Path, case: str, options: str) -> None:
        assert run_command(
            "openpbs", state, "qsub", "-f", stdin=f"#PBS {options}\ntrue\n"
        ) == self.captured(f"qsub_{case}", "")

    @pytest.mark.parametrize("command", ["qsub", "qstat", "qdel", "qselect", "qhold", "qsig"])
    def test_server_down(self, state: Path, command: str) -> None:
        configure(state, down=True)
        assert run_command("openpbs", state, command, "-f") == self.captured(f"down_{command}", "")
