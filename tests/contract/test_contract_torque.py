"""The scheduler contract over a stand-in for TORQUE that really runs the jobs (pbs_standin)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pbs_site
from pbs_site import PbsContract, PbsSilence, configure, run_command
from pywps_hpc.dispatch.channels.local import LocalChannel
from pywps_hpc.dispatch.schedulers.base import (
    Outcome,
    Phase,
    Scheduler,
    SubmissionPostponed,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.torque import TorqueDialect
from scheduler_contract import UNKNOWN_ID
from servers import wait_for


@pytest.fixture
def state(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return pbs_site.new_state(tmp_path / "torque", request.node.name)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def scheduler(state: Path) -> Iterator[Scheduler]:
    yield from pbs_site.run_scheduler(TorqueDialect(), state, "vm", keep_completed=300)


class TestTorque(PbsContract):
    no_room = "Not enough of the right type of nodes"
    index = "PBS_ARRAYID"

    # --- where TORQUE differs

    def test_memory_limit_ends_the_job(self, scheduler: Scheduler, logs: Path) -> None:
        """MOM counts what all processes together have reserved (vmem, pbs_resources(7B))."""
        body = "python3 -c 'import time; x = bytearray(400 * 2**20); time.sleep(50)'"
        job = self.submit(
            scheduler, logs, f"{body} & {body} & wait", memory=500, extra=("-l vmem=600mb",)
        )
        assert self.until(scheduler, job, Phase.FINISHED).outcome is Outcome.MEMORY_LIMIT

    def test_process_beyond_the_memory_of_its_job_is_refused_more_and_may_end_as_it_likes(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        """Of one node MOM limits each process (setrlimit(2), RLIMIT_DATA) and does not add up."""
        job = self.job(scheduler, logs, "python3 -c 'bytearray(400 * 2**20)' || exit 7", memory=60)
        (number,) = scheduler.submit(job)
        status = self.until(scheduler, number, Phase.FINISHED)
        assert (status.outcome, status.exit_code) == (Outcome.EXITED, 7)
        assert "MemoryError" in Path(job.log).read_text()

    def test_cancelling_again_or_what_is_over_or_unknown_is_no_error(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        """The server may forget at once what is deleted while it is being deleted."""
        running = self.submit(scheduler, logs, "sleep 600")
        over = self.submit(scheduler, logs, "true")
        self.until(scheduler, over, Phase.FINISHED)
        self.until(scheduler, running, Phase.RUNNING)
        scheduler.cancel([over, UNKNOWN_ID, running])
        scheduler.cancel([over, UNKNOWN_ID, running])

        def ended() -> bool:
            status = scheduler.poll([running]).get(running)
            if status is None or status.phase is not Phase.FINISHED:
                return status is None
            assert status.outcome is Outcome.CANCELLED
            return True

        wait_for(ended, "the job is over", 120)
        scheduler.cancel([running])
        assert scheduler.poll([over])[over].exit_code == 0
        scheduler.cancel([])

    # --- TORQUE's own cases

    def test_job_that_the_server_has_forgotten_is_missing_everywhere(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, keep_completed=0)
        job = self.job(scheduler, logs, "true")
        (number,) = scheduler.submit(job)
        wait_for(lambda: not scheduler.poll([number]), "the job is forgotten", 120)
        assert scheduler.history([number]) == {}
        assert scheduler.forgotten == {number}
        assert scheduler.find(job.name) == []
        scheduler.cancel([number, UNKNOWN_ID])

    def test_job_that_no_node_can_hold_is_refused(self, scheduler: Scheduler, logs: Path) -> None:
        with pytest.raises(SubmissionRefused, match="cannot locate feasible nodes"):
            scheduler.submit(self.job(scheduler, logs, "true", cpus=64))

    def test_log_is_copied_at_the_end_where_mom_does_not_write_it_live(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        configure(state, spool_as_final_name=False)
        go = logs / "go"
        body = f"echo started; until [ -e {go} ]; do sleep 0.1; done; exit 3"
        job = self.job(scheduler, logs, body)
        (number,) = scheduler.submit(job)
        self.until(scheduler, number, Phase.RUNNING)
        assert not Path(job.log).exists()
        go.touch()
        assert self.until(scheduler, number, Phase.FINISHED).exit_code == 3
        assert Path(job.log).read_text() == "started\n"

    def test_log_that_is_a_symbolic_link_is_not_written_where_mom_writes_it_live(
        self, scheduler: Scheduler, logs: Path
    ) -> None:
        job = self.job(scheduler, logs, "true")
        Path(job.log).symlink_to(self.log_with(logs / "elsewhere", ""))
        (number,) = scheduler.submit(job)
        status = self.until(scheduler, number, Phase.FINISHED)
        assert (status.outcome, status.detail) == (Outcome.COULD_NOT_START, "C, exit_status -9")

    def test_mom_tells_the_reason_in_the_log(self, scheduler: Scheduler, logs: Path) -> None:
        job = self.job(scheduler, logs, "sleep 600", walltime=1)
        (number,) = scheduler.submit(job)
        self.until(scheduler, number, Phase.FINISHED)
        assert scheduler.explain(Path(job.log).read_text()) is Outcome.TIME_LIMIT


class TestManyJobsThatAreUnknown:
    def test_fifty_that_left_the_queue_are_told_from_one_that_runs(
        self, scheduler: Scheduler, logs: Path, state: Path
    ) -> None:
        """Nine unknown ids in one question read as a server that cannot be asked."""
        job = TestTorque().submit(scheduler, logs, "sleep 600")
        gone = [f"{number}.{job.partition('.')[2]}" for number in range(90001, 90051)]
        assert scheduler.poll([job, *gone]).keys() == {job}
        assert not scheduler.unasked
        assert scheduler.history(gone) == {}
        scheduler.cancel([job, *gone])


class TestTorqueDoesNotAnswer(PbsSilence):
    contract = TestTorque
    codes = (111,)

    def test_commands_that_are_not_installed_postpone(self, logs: Path) -> None:
        lost = CommandScheduler(TorqueDialect(), LocalChannel({"PATH": "/nonexistent"}))
        with pytest.raises(SubmissionPostponed, match="command not found: qsub"):
            lost.submit(TestTorque().job(lost, logs, "true"))


class TestStandIn:
    """It says what real TORQUE said (captured/torque)."""

    def captured(self, case: str, job: str) -> tuple[int, str]:
        return pbs_site.captured("torque", case, r"1687\.vm|1689\.vm", job)

    def test_refusals_and_unknown_jobs(self, scheduler: Scheduler, logs: Path, state: Path) -> None:
        configure(state, operators=[])
        contract = TestTorque()
        running = contract.submit(scheduler, logs, "sleep 600")
        over = contract.submit(scheduler, logs, "true")
        contract.until(scheduler, running, Phase.RUNNING)
        contract.until(scheduler, over, Phase.FINISHED)
        for case, job, command in (
            ("qdel_unknown", "", "qdel 999999"),
            ("qdel_completed", over, f"qdel {over}"),
            ("qstat_unknown", "", "qstat -f -1 999999"),
            ("qstat_mixed_known_unknown", "", f"qstat -f -1 {over} 999999.vm"),
            ("qsig_suspend", running, f"qsig -s suspend {running}"),
            ("qsig_resume", running, f"qsig -s resume {running}"),
            ("qhold_queued", running, f"qhold {running}"),
            ("qrls_queued", running, f"qrls {running}"),
        ):
            assert run_command("torque", state, *command.split()) == self.captured(case, job), case

    @pytest.mark.parametrize(
        ("case", "options"),
        [
            ("unknown_queue", "-q nowhere"),
            ("bad_resource", "-l nosuchres=1"),
            ("too_many_nodes", "-l nodes=1:ppn=64"),
        ],
    )
    def test_refused_submissions(self, state: Path, case: str, options: str) -> None:
        assert run_command(
            "torque", state, "qsub", stdin=f"#PBS {options}\ntrue\n"
        ) == self.captured(f"qsub_{case}", "")

    @pytest.mark.parametrize("command", ["qsub", "qstat -f -1", "qdel 1"])
    def test_server_down(self, state: Path, command: str) -> None:
        configure(state, down=True)
        assert run_command("torque", state, *command.split()) == self.captured(
            f"{command.split()[0]}_server_down", ""
        )
