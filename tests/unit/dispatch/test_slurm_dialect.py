"""Slurm's dialect against what real Slurm commands answered (captured/slurm, by capture.sh)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialects
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    Resources,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.dialect import Action
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect, read_control, read_submitted
from pywps_hpc.dispatch.schedulers.parts import NotInstalled
from pywps_hpc.dispatch.schedulers.states import slurm
from pywps_hpc.dispatch.schedulers.text import seconds

JOBS = dict(line.split("=") for line in (dialects.CAPTURED / "slurm/jobs.txt").read_text().split())
SLURM = SlurmDialect()
TABLES = {"squeue": SLURM.read_queue, "sacct": SLURM.read_accounting, "scontrol": SLURM.read_jobs}


captured = partial(dialects.captured, "slurm")


def answer(case: str) -> dict[str, JobStatus]:
    """The statuses in a captured answer, by what the jobs were made to do."""
    read = TABLES[case.partition("_")[0]]
    found = read(*captured(case))
    return {name: found[number] for name, number in JOBS.items() if number in found}


# --- header


header = partial(dialects.header, SLURM)


def test_header_states_every_resource() -> None:
    lines = header(
        comment="2f1c",
        resources=dialects.every_resource("--constraint=ib", "--qos=high"),
    )
    assert lines == [
        "#SBATCH --job-name=a1",
        "#SBATCH --comment=2f1c",
        "#SBATCH --output=/d/log",
        "#SBATCH --open-mode=append",
        "#SBATCH --chdir=/",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8000M",
        "#SBATCH --time=25:01:01",
        "#SBATCH --gres=gpu:2",
        "#SBATCH --partition=long",
        "#SBATCH --account=climate",
        "#SBATCH --export=NONE",
        "#SBATCH --signal=B:TERM@60",
        "#SBATCH --no-requeue",
        "#SBATCH --constraint=ib",
        "#SBATCH --qos=high",
    ]


@pytest.mark.parametrize(
    ("walltime", "option"),
    [(86400, "B:TERM@60"), (600, "B:TERM@60"), (300, "B:TERM@30"), (299, None), (10, None)],
)
def test_short_job_does_not_lose_its_time_to_a_warning(walltime: int, option: str | None) -> None:
    found = [line for line in header(resources={"walltime": walltime}) if "--signal" in line]
    assert found == ([f"#SBATCH --signal={option}"] if option else [])


def test_percent_in_the_log_is_no_pattern() -> None:
    assert "#SBATCH --output=/d/100%%j/log" in header(log="/d/100%j/log")


def test_value_with_spaces_or_a_hash_is_quoted() -> None:
    assert '#SBATCH --output="/d/a b/#1"' in header(log="/d/a b/#1")


@pytest.mark.parametrize(
    "values",
    [
        {"log": "/d/log\n#SBATCH --uid=0"},
        {"log": "/d/log\u2028x"},
        {"log": '/d/"; x'},
        {"log": "/d/\\"},
        {"comment": "a\rb"},
        {"name": "a b"},
        {"name": "1a"},
        {"name": "a" * 16},
        {"resources": {"queue": "short\n"}},
        {"resources": {"extra": ("--qos=high\n#SBATCH --uid=0",)}},
    ],
)
def test_value_that_would_leave_its_line_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"control characters|not a job name|may not contain"):
        header(**values)


@given(st.text())
def test_any_text_stays_one_option_or_is_refused(text: str) -> None:
    try:
        lines = header(comment=text)
    except ValueError:
        return
    assert all(line.startswith("#SBATCH --") for line in lines)
    assert "\n".join(lines).splitlines() == lines


def test_native_specification_has_no_quotes_and_says_the_same() -> None:
    need = Resources(cpus=2, memory=100, queue="long")
    job = BatchJob("a1", "", "/d/log", comment="2f1c", resources=need)
    assert SLURM.native_specification(job) == (
        "-N 1 -n 1 -c 2 --mem=100 --time=01:00:00 -p long --comment=2f1c --no-requeue"
    )
    with pytest.raises(ValueError, match="slurm-drmaa"):
        SLURM.native_specification(BatchJob("a1", "", "/d/log", comment="a b"))


# --- submission


@pytest.mark.parametrize(
    ("stdout", "job"),
    [
        (captured("sbatch_accepted")[1], captured("sbatch_accepted")[1].strip()),
        (captured("sbatch_with_warning")[1], captured("sbatch_with_warning")[1].strip()),
        ("7;cluster-2\n", "7"),
        ("Welcome!\n\n2024\nsbatch: lua: fine\n7\n", "7"),
    ],
)
def test_id_is_the_last_line(stdout: str, job: str) -> None:
    assert read_submitted(0, stdout, "") == job


@pytest.mark.parametrize("stdout", ["", "\n", "7 jobs\n", "Submitted batch job\n", "-7\n", "7;\n"])
def test_success_without_an_id_is_none(stdout: str) -> None:
    with pytest.raises(SchedulerUnavailable, match="no job id"):
        read_submitted(0, stdout, "")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("bad_partition", "invalid partition specified: nowhere; Invalid partition name specified"),
        ("bad_account", "Invalid account or account/partition combination specified"),
        ("bad_gres", "Invalid generic resource (gres) specification"),
        (
            "too_much_memory",
            "Memory specification can not be satisfied; "
            "Requested node configuration is not available",
        ),
        ("bad_option", "sbatch: unrecognized option '--frobnicate'"),
    ],
)
def test_refusal_is_a_sentence(case: str, words: str) -> None:
    reply = captured(f"sbatch_{case}")
    assert not SLURM.messages.cannot_ask.search(reply[2])
    with pytest.raises(SubmissionRefused) as refusal:
        read_submitted(*reply)
    assert str(refusal.value) == f"Slurm refused the job: {words}"


@pytest.mark.parametrize(
    "case",
    [
        "sbatch_server_down",
        "sbatch_not_configured",
        "squeue_server_down",
        "squeue_not_configured",
        "scontrol_server_down",
        "scontrol_hold_server_down",
        "scancel_server_down",
        "sacct_database_down",
    ],
)
def test_server_that_cannot_be_asked_is_recognised(case: str) -> None:
    code, out, err = captured(case)
    assert code != 0
    assert SLURM.messages.cannot_ask.search(out + err)


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Zero Bytes were transmitted or received",
        "sbatch: error: If munged is up, restart with --num-threads=10",
        "sacct: error: Problem talking to the database: Connection refused",
    ],
)
def test_further_words_of_a_server_that_cannot_be_asked(words: str) -> None:
    assert SLURM.messages.cannot_ask.search(words)


# --- the queue


def test_every_captured_state_of_the_queue() -> None:
    found = answer("squeue_states")
    assert {name: status.phase for name, status in found.items()} == {
        "pending": Phase.HELD,
        "running": Phase.RUNNING,  # "held" while it runs: without effect
        "stopped": Phase.SUSPENDED,
        "suspended": Phase.SUSPENDED,
        "hopeless": Phase.QUEUED,
        "fails": Phase.FINISHED,
        "good": Phase.FINISHED,
        "signalled": Phase.FINISHED,
        "memory": Phase.FINISHED,
        "limit": Phase.RUNNING,
        "cancelled": Phase.FINISHED,
        "cannot": Phase.FINISHED,
        "warned": Phase.RUNNING,
        "obeyed": Phase.RUNNING,
    }
    assert found["hopeless"].hopeless
    assert found["hopeless"].detail == "PENDING (PartitionTimeLimit)"
    assert found["good"].exit_code == 0
    assert found["fails"].exit_code is None  # squeue does not say
    assert found["memory"].outcome is Outcome.MEMORY_LIMIT
    assert found["cancelled"].outcome is Outcome.CANCELLED
    assert answer("squeue_states_timeout")["limit"].outcome is Outcome.TIME_LIMIT


def test_empty_queue_is_an_answer() -> None:
    assert SLURM.read_queue(*captured("squeue_none")) == {}


@pytest.mark.parametrize("case", ["squeue_states", "sacct_states", "scontrol_fails"])
def test_answer_cut_off_within_a_line_is_none(case: str) -> None:
    read = TABLES[case.partition("_")[0]]
    code, out, err = captured(case)
    whole = read(code, out, err)
    for end in range(len(out)):
        try:
            part = read(code, out[:end], err)
        except SchedulerUnavailable:
            continue
        # Cut between two lines: what is there is right.
        assert out[:end].endswith("\n") or not out[:end]
        assert part.items() <= whole.items()


def test_no_output_at_all_is_no_answer() -> None:
    for read in (SLURM.read_queue, SLURM.read_accounting):
        with pytest.raises(SchedulerUnavailable):
            read(0, "", "")


def listed(state: str, reason: str = "") -> JobStatus:
    status = slurm.listed(state, reason)
    assert status is not None
    return status


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("PENDING", Phase.QUEUED),
        ("CONFIGURING", Phase.QUEUED),
        ("REQUEUED", Phase.QUEUED),
        ("COMPLETING", Phase.RUNNING),
        ("STAGE_OUT", Phase.RUNNING),
        ("SPECIAL_EXIT", Phase.HELD),
    ],
)
def test_states_on_the_way(state: str, phase: Phase) -> None:
    assert listed(state).phase is phase
    assert listed(state).outcome is None


@pytest.mark.parametrize(
    "reason",
    [
        "PartitionTimeLimit",
        "BadConstraints",
        "InvalidQOS",
        "AssocMaxWallDurationPerJobLimit",
        "QOSMaxCpuPerJobLimit",
        "QOSMaxMemoryPerNode",
        "QOSMinGRES",
        "MaxMemPerLimit",
    ],
)
def test_pending_for_a_reason_that_does_not_pass_is_hopeless(reason: str) -> None:
    assert listed("PENDING", reason).hopeless


@pytest.mark.parametrize(
    "reason",
    ["Resources", "Priority", "QOSMaxJobsPerUserLimit", "AssocGrpCpuLimit", "ReqNodeNotAvail", ""],
)
def test_pending_for_a_reason_that_passes_is_not_hopeless(reason: str) -> None:
    assert not listed("PENDING", reason).hopeless


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", ""),
        ("None", ""),
        ("Resources", "not enough nodes, processors or memory are free"),
        ("Priority", "other jobs come first"),
        ("QOSMaxJobsPerUserLimit", "its quality of service has as many jobs as it may have"),
        ("QOSGrpCpuLimit", "its quality of service has as many processors in use"),
        ("QOSMaxMemoryPerUser", "its quality of service has as much memory in use"),
        ("AssocGrpCpuLimit", "its account has as many processors in use"),
        ("AssocGrpJobsLimit", "its account has as many jobs as it may have"),
        ("AssocGrpGRES", "its account has as many devices (such as GPUs) in use"),
        ("AssocGrpCPUMinutesLimit", "the computing time of its account is used up"),
        ("AssocGrpBilling", "its account has as much in use"),
        ("BeginTime", "its earliest start has not come"),
        ("ReqNodeNotAvail, UnavailableNodes:node[1-3]", "the nodes that it may use are not"),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
            "partitions",
            "the nodes that it may use are down, reserved",
        ),
        ("SomethingNew", "for a reason that Slurm calls SomethingNew"),
        ("see /etc/slurm/x; on node7", ""),
    ],
)
def test_a_pending_job_s_reason_is_told_in_plain_words(reason: str, words: str) -> None:
    told = listed("PENDING", reason).waits
    assert told.startswith(words)
    assert bool(told) is bool(words)
    assert "node[" not in told
    assert not listed("RUNNING", reason).waits


def test_running_job_is_never_hopeless_or_held() -> None:
    assert listed("RUNNING", "JobHeldUser").phase is Phase.RUNNING
    assert not listed("RUNNING", "PartitionTimeLimit").hopeless


# --- the end


ENDS = {
    "fails": (Outcome.EXITED, 3, None),
    "good": (Outcome.EXITED, 0, None),
    "signalled": (Outcome.SIGNALLED, None, 9),
    "memory": (Outcome.MEMORY_LIMIT, None, None),
    "limit": (Outcome.TIME_LIMIT, None, None),
    "cancelled": (Outcome.CANCELLED, None, None),
    "cannot": (Outcome.COULD_NOT_START, None, None),
    "warned": (Outcome.TIME_LIMIT, None, None),  # died of --signal's TERM
    "obeyed": (Outcome.TIME_LIMIT, None, None),  # exited with 143 at --signal's TERM
}


@pytest.mark.parametrize("name", ENDS)
def test_accounting_and_server_agree_on_how_a_job_ended(name: str) -> None:
    for case in ("sacct_states", f"scontrol_{name}"):
        status = answer(case)[name]
        assert (status.outcome, status.exit_code, status.signal) == ENDS[name]


def test_accounting_says_who_cancelled() -> None:
    assert answer("sacct_states")["cancelled"].detail == "CANCELLED by 1001"


def test_job_that_goes_on_has_no_outcome_in_accounting() -> None:
    for name in ("pending", "running"):
        for case in ("sacct_states", f"scontrol_{name}"):
            assert answer(case)[name].outcome is None


def test_job_that_nobody_knows_is_missing() -> None:
    assert SLURM.read_accounting(*captured("sacct_unknown")) == {}
    assert SLURM.read_jobs(*captured("scontrol_unknown")) == {}


def test_jobs_that_had_the_same_ids_are_told_by_their_names() -> None:
    """Captured after slurmctld had lost its state and counted anew; slurmdbd had kept the rest."""
    found = SLURM.read_accounting(*captured("sacct_states"))
    ours = {job for job, status in found.items() if status.name == "sbatch"}
    others = {job: status.name for job, status in found.items() if job not in ours}
    assert {job.partition("_")[0] for job in others} == {JOBS["running"], JOBS["warned"]}
    assert all(name.startswith("w") for name in others.values())
    assert {JOBS[case] for case in ("good", "fails", "cancelled", "obeyed", "limit")} <= ours


def test_site_without_accounting_says_so() -> None:
    with pytest.raises(NotInstalled, match="no accounting"):
        SLURM.read_accounting(*captured("sacct_disabled"))


def ended(
    state: str, code: str, reason: str = "", elapsed: int = 5, limit: int = 3600
) -> JobStatus:
    status = slurm.ended(state, reason, code, elapsed, limit)
    assert status is not None
    return status


def accounting(*rows: str) -> dict[str, JobStatus]:
    """What is read from sacct's answer of these rows."""
    heading = "JobID|State|ExitCode|ElapsedRaw|TimelimitRaw|Submit|JobName"
    return SLURM.read_accounting(0, "\n".join([heading, *rows, ""]), "")


def test_accounting_does_not_know_the_end_of_a_job_that_slurmctld_forgot() -> None:
    rows = ["7|CANCELLED|0:0|5|60|Unknown|t1", "8|CANCELLED by 0|0:0|5|60|Unknown|t1"]
    assert accounting(*rows).keys() == {"8"}


def test_of_two_elements_with_one_id_the_one_submitted_last_is_ours() -> None:
    """Each array has an own number for 7_2, so that sacct lists both, in the order of these."""
    old = "7_2|FAILED|15:0|2|2|2026-11-28T00:40:02|old"
    new = "7_2|COMPLETED|0:0|5|60|2026-11-28T00:58:40|new"
    for rows in ([old, new], [new, old]):
        assert {job: status.name for job, status in accounting(*rows).items()} == {"7_2": "new"}


def test_accounting_that_leaves_the_time_of_submission_out_is_read() -> None:
    heading = "JobID|State|ExitCode|ElapsedRaw|TimelimitRaw|JobName"
    answer = SLURM.read_accounting(0, f"{heading}\n7|FAILED|4:0|5|60|a|b\n", "")
    assert (answer["7"].exit_code, answer["7"].name) == (4, "a|b")
    with pytest.raises(SchedulerUnavailable, match="cut off"):
        SLURM.read_accounting(0, f"{heading}\n7|FAILED|4:0|5|60\n", "")


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("NODE_FAIL", Outcome.NODE_FAILURE),
        ("BOOT_FAIL", Outcome.NODE_FAILURE),
        ("PREEMPTED", Outcome.PREEMPTED),
        ("DEADLINE", Outcome.TIME_LIMIT),
        ("OUT_OF_MEMORY", Outcome.MEMORY_LIMIT),
        ("FAILED", Outcome.UNKNOWN),
    ],
)
def test_only_completed_means_exit_code_zero(state: str, outcome: Outcome) -> None:
    status = ended(state, "0:0")
    assert (status.outcome, status.exit_code) == (outcome, None)


def test_core_dump_flag_is_no_part_of_the_signal() -> None:
    assert ended("FAILED", "0:139").signal == 11


@pytest.mark.parametrize("code", ["0:15", "143:0", "15:0"])
def test_job_that_obeyed_the_warning_ended_by_its_time_limit(code: str) -> None:
    assert ended("FAILED", code, elapsed=3510).outcome is Outcome.TIME_LIMIT
    assert ended("FAILED", code, elapsed=240, limit=300).outcome is Outcome.TIME_LIMIT
    assert ended("FAILED", code, elapsed=25, limit=60).outcome is not Outcome.TIME_LIMIT
    assert ended("FAILED", code, elapsed=600).outcome is not Outcome.TIME_LIMIT
    assert ended("FAILED", code, elapsed=9999, limit=0).outcome is not Outcome.TIME_LIMIT


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("slurmstepd: error: Exceeded job memory limit\n", Outcome.MEMORY_LIMIT),
        (
            "slurmstepd-c1: error: Detected 1 oom-kill event(s) in StepId=44.batch. Some …\n",
            Outcome.MEMORY_LIMIT,
        ),
        (
            "slurmstepd: error: *** JOB 5 ON c1 CANCELLED AT 2024-01-01 DUE TO TIME LIMIT ***",
            Outcome.TIME_LIMIT,
        ),
        ("slurmstepd: error: *** JOB 5 ON c1 CANCELLED AT 2024-01-01T00:00:00 ***\n", None),
        ("my script says: DUE TO TIME LIMIT\n", None),
        ("", None),
    ],
)
def test_log_explains_what_the_answers_do_not(text: str, outcome: Outcome | None) -> None:
    assert SLURM.explain(text) is outcome


def test_elapsed_time_is_read_in_seconds() -> None:
    assert seconds("1-02:03:04") == 93784
    assert seconds("00:01:29") == 89
    assert seconds("UNLIMITED") == 0


# --- control


@pytest.mark.parametrize(
    "case",
    [
        "scancel_running",
        "scancel_unknown",
        "scancel_ended",
        "scancel_stop",
        "scontrol_hold_running",
        "scontrol_hold_again",
        "scontrol_hold_unknown",
        "scontrol_hold_ended",
        "scontrol_release",
        "scontrol_release_ended",
        "scontrol_suspend_operator",
        "scontrol_suspend_pending_operator",
        "scontrol_resume_running",
        "scontrol_resume_stopped_operator",
    ],
)
def test_job_already_there_or_gone_is_no_error(case: str) -> None:
    read_control(*captured(case))


@pytest.mark.parametrize(
    "case",
    [
        "scontrol_suspend_owner",
        "scontrol_resume_stopped_owner",
        "scontrol_hold_theirs",
        "scancel_theirs",
        "scancel_mixed",
    ],
)
def test_what_this_account_may_not_do_says_who_may(case: str) -> None:
    with pytest.raises(NotPermitted, match="an operator of the cluster may do this"):
        read_control(*captured(case))


def test_commands_take_ids_in_their_own_way() -> None:
    def argv(action: Action, detail: str = "") -> list[str]:
        return [" ".join(way.argv) for way in SLURM.control(action, ["7", "8"], detail)]

    assert argv(Action.CANCEL) == ["scancel 7 8"]
    assert argv(Action.HOLD) == ["scontrol hold 7,8"]
    assert argv(Action.RELEASE) == ["scontrol release 7,8"]
    assert argv(Action.SUSPEND) == ["scontrol suspend 7,8", "scancel --signal=STOP --full 7 8"]
    assert argv(Action.RESUME, "SUSPENDED") == ["scontrol resume 7,8"]
    assert argv(Action.RESUME, "STOPPED") == ["scancel --signal=CONT --full 7 8"]


@pytest.mark.parametrize(
    ("lines", "final"),
    [
        ("sbatch: error: QOSMaxCpuPerJobLimit\n", True),
        ("sbatch: error: AssocMaxWallDurationPerJobLimit\n", True),
        ("sbatch: error: AssocMaxSubmitJobLimit\n", False),
        ("", False),
    ],
)
def test_policy_that_a_job_can_never_keep_is_final(lines: str, final: bool) -> None:
    words = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    with pytest.raises(SubmissionRefused if final else SubmissionPostponed):
        read_submitted(1, "", f"{lines}sbatch: error: Batch job submission failed: {words}\n")


def test_line_break_in_the_name_of_some_other_job_hides_no_job() -> None:
    head = "pywps-hpc|JOBID|STATE|REASON|NAME|end\n"
    rows = "pywps-hpc|7|RUNNING|None|a\nb|end\npywps-hpc|8|RUNNING|None|t1|end\n"
    answer = SLURM.read_queue(0, f"Welcome!\n{head}{rows}", "")
    assert {job: status.name for job, status in answer.items()} == {"7": "a\nb", "8": "t1"}


@pytest.mark.parametrize("reason", ["PartitionDown", "PartitionInactive"])
def test_pending_in_a_closed_partition_is_maintenance(reason: str) -> None:
    line = f"pywps-hpc|7|PENDING|{reason}|t1|end\n"
    head = "pywps-hpc|JOBID|STATE|REASON|NAME|end\n"
    status = SLURM.read_queue(0, head + line, "")["7"]
    assert (status.phase, status.maintenance, status.hopeless) == (Phase.QUEUED, True, False)
