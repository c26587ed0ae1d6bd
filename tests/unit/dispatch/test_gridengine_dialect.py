"""Grid Engine's dialect against what real commands answered (captured/gridengine)."""

from __future__ import annotations

import logging
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
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
)
from pywps_hpc.dispatch.schedulers.dialect import Action
from pywps_hpc.dispatch.schedulers.dialects.gridengine import (
    GridEngineDialect,
    read_control,
    read_submitted,
)
from pywps_hpc.dispatch.schedulers.states import gridengine as accounting

JOBS = dict(
    line.split("=") for line in (dialects.CAPTURED / "gridengine/jobs.txt").read_text().split()
)
GOOD = JOBS.pop("name")  # the name of the job "good"; the others are all called a1
NAMES = {number: name for name, number in JOBS.items()}


captured = partial(dialects.captured, "gridengine")


def queue(case: str) -> dict[str, JobStatus]:
    """The statuses in a captured qstat's answer, by what the jobs were made to do."""
    found = GridEngineDialect().read_queue(*captured(case))
    return {NAMES[number]: status for number, status in found.items() if number in NAMES}


def ended(case: str) -> JobStatus:
    """The status in a captured qacct's answer, which is of the job of that name."""
    (status,) = accounting.read(*captured(f"qacct_{case}")).values()
    return status


# --- header


header = partial(dialects.header, GridEngineDialect())


def test_header_states_every_resource() -> None:
    lines = header(
        comment="2f1c",
        resources=dialects.every_resource(
            "-P models", "-l scratch=20G", memory=8001, queue="long.q@@new"
        ),
    )
    assert lines == [
        "#$ -N a1",
        "#$ -o :/d/log",
        "#$ -j y",
        "#$ -wd /",
        "#$ -S /bin/bash",
        "#$ -r n",
        "#$ -notify",
        "#$ -m n",
        "#$ -l h_rt=90061,h_vmem=2001M",
        "#$ -pe smp 4",
        "#$ -l gpu=2",
        "#$ -q long.q@@new",
        "#$ -A climate",
        "#$ -ac comment=2f1c",
        "#$ -P models",
        "#$ -l scratch=20G",
    ]


def test_site_may_name_its_own_parallel_environment() -> None:
    own = {"extra": ("-pe threads", "-P models")}
    lines = header(resources={"cpus": 8, **own})
    assert [line for line in lines if "-pe" in line] == ["#$ -pe threads 8"]
    assert not [line for line in header(resources=own) if "-pe" in line]


def test_parallel_environment_with_a_number_is_the_administrators_last_word() -> None:
    lines = header(resources={"cpus": 2, "extra": ("-pe mpi 16",)})
    assert [line for line in lines if "-pe" in line] == ["#$ -pe smp 2", "#$ -pe mpi 16"]


@pytest.mark.parametrize(
    "values",
    [
        {"log": "/d/log\n#$ -P x"},
        {"log": "/d/log\u2028x"},
        {"log": "/d/a b"},
        {"log": "/d/a,b"},
        {"log": "/d/$JOB_ID"},
        {"log": "/d/#1"},
        {"log": "/d/'x'"},
        {"comment": "a b=c"},
        {"name": "a b"},
        {"name": "1a"},
        {"resources": {"queue": "short\n"}},
        {"resources": {"account": "a b"}},
        {"resources": {"cpus": 2, "extra": ("-pe $(x)",)}},
        {"resources": {"extra": ("-P models\n#$ -q x",)}},
    ],
)
def test_value_that_qsub_would_read_otherwise_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"control characters|not a job name|cannot take this"):
        header(**values)


def test_native_specification_says_the_same_without_name_and_log() -> None:
    need = Resources(cpus=2, memory=100, walltime=60, queue="long.q")
    job = BatchJob("a1", "", "/d/log", comment="2f1c", resources=need)
    assert GridEngineDialect().native_specification(job) == (
        "-b n -S /bin/bash -r n -notify -m n -l h_rt=60,h_vmem=50M -pe smp 2 -q long.q "
        "-ac comment=2f1c"
    )


# --- submission


def test_script_travels_on_standard_input() -> None:
    question = GridEngineDialect().submit(BatchJob("a1", "#!/bin/bash\n", "/d/log"))
    assert (question.argv, question.stdin) == (("qsub", "-terse"), "#!/bin/bash\n")


@pytest.mark.parametrize("case", ["accepted", "with_warning", "array"])
def test_id_is_the_number_in_the_last_line_of_the_answer(case: str) -> None:
    code, out, err = captured(f"qsub_{case}")
    number = out.splitlines()[-1].removesuffix(".1-10:1")
    assert number.isdigit()
    assert read_submitted(code, out, err) == number


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("bad_queue", 'job requests unknown queue "nowhere.q"'),
        ("bad_resource", 'unknown resource "nothing"'),
        ("bad_environment", 'parallel environment "nothing" does not exist'),
        ("bad_project", 'project "nothing" does not exist'),
        ("bad_value", '"h_rt" is not a time value'),
        ("bad_option", 'invalid option argument "-frobnicate"'),
        ("bad_name", "cannot start with a digit"),
    ],
)
def test_refusal_carries_grid_engines_words(case: str, words: str) -> None:
    with pytest.raises(SubmissionRefused, match=words) as refusal:
        read_submitted(*captured(f"qsub_{case}"))
    assert "Unable to run job" not in str(refusal.value)


@pytest.mark.parametrize(
    ("case", "words"),
    [("too_many_jobs", "only 1 jobs are allowed"), ("not_a_submit_host", "not a submit host")],
)
def test_limit_that_will_pass_postpones(case: str, words: str) -> None:
    with pytest.raises(SubmissionPostponed, match=words):
        read_submitted(*captured(f"qsub_{case}"))


@pytest.mark.parametrize("answer", [(0, "", ""), (0, "Your job 12 has been submitted\n", "")])
def test_success_without_an_id_is_no_success(answer: tuple[int, str, str]) -> None:
    with pytest.raises(SchedulerUnavailable, match="no job id"):
        read_submitted(*answer)


# --- the queue


def test_states_of_the_queue() -> None:
    phases = {
        name: (status.phase, status.detail)
        for name, status in queue("qstat_states").items()
        if name not in ("again", "limit", "limit_heeded", "limit_ignored")  # may be over
    }
    assert phases == {
        "waiting": (Phase.QUEUED, "qw"),
        "held": (Phase.HELD, "hqw"),
        "running": (Phase.RUNNING, "r"),
        "suspended": (Phase.SUSPENDED, "s"),
        "queuesuspended": (Phase.RUNNING, "r"),
        "cancelled": (Phase.RUNNING, "dr"),
        "heeded": (Phase.RUNNING, "dr"),
        "ignored": (Phase.RUNNING, "dr"),
        "forced": (Phase.RUNNING, "r"),
        "restarts": (Phase.RUNNING, "r"),
        "error": (Phase.FINISHED, "Eqw: Grid Engine could not start it, qstat -j shows why"),
        "hundred": (Phase.FINISHED, "Eqw: Grid Engine could not start it, qstat -j shows why"),
    }


@pytest.mark.parametrize(
    ("case", "job", "phase", "detail", "restarts"),
    [
        ("held_running", "restarts", Phase.RUNNING, "hr", 0),
        ("requeued", "restarts", Phase.QUEUED, "Rq", 1),
        ("requeued_held", "restarts", Phase.HELD, "hRq", 1),
        ("restarted", "restarts", Phase.RUNNING, "Rr", 1),
        ("queue_suspended", "queuesuspended", Phase.SUSPENDED, "S", 0),
        ("queue_suspended", "suspended", Phase.SUSPENDED, "Ss", 0),
    ],
)
def test_rarer_states(case: str, job: str, phase: Phase, detail: str, restarts: int) -> None:
    status = queue(f"qstat_{case}")[job]
    assert (status.phase, status.detail, status.restarts) == (phase, detail, restarts)


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        # sge_status(5), all combinations that are not in the captured answers
        *((state, Phase.QUEUED) for state in ("qw", "Rq", "Rqw")),
        *((state, Phase.HELD) for state in ("hqw", "hRwq")),
        *((state, Phase.RUNNING) for state in ("r", "hr", "t", "Rr", "Rt", "dr", "dt", "dRr")),
        *((state, Phase.SUSPENDED) for state in ("s", "ts", "S", "tS", "T", "tT", "Rs", "RtT")),
        *((state, Phase.SUSPENDED) for state in ("ds", "dS", "dT", "dRs")),
        *((state, Phase.FINISHED) for state in ("z", "Eqw", "Ehqw", "EhRqw")),
    ],
)
def test_every_state_of_the_manual_is_known(state: str, phase: Phase) -> None:
    code, out, err = captured("qstat_restarted")
    answer = GridEngineDialect().read_queue(
        code, out.replace("<state>Rr</state>", f"<state>{state}</state>"), err
    )
    assert answer[JOBS["restarts"]].phase is phase


def test_unknown_state_counts_as_running_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    code, out, err = captured("qstat_states")
    strange = out.replace("<state>qw</state>", "<state>qX</state>")
    dialect = GridEngineDialect()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert dialect.read_queue(code, strange, err)[JOBS["waiting"]].phase is Phase.RUNNING
    assert caplog.text.count("'qX'") == 1


def test_job_in_error_state_is_over_without_a_result() -> None:
    status = queue("qstat_states")["error"]
    assert (status.outcome, status.hopeless) == (Outcome.COULD_NOT_START, True)


def test_tasks_of_an_array_are_jobs_of_their_own() -> None:
    found = GridEngineDialect().read_queue(*captured("qstat_states"))
    assert {f"{JOBS['array']}.1", f"{JOBS['array']}.2"} <= found.keys()
    assert JOBS["array"] not in found


def test_tasks_that_ended_share_a_row() -> None:
    dialect = GridEngineDialect()
    code, out, err = captured("qstat_ended")
    row = "<tasks>1-10:1</tasks>"
    array = out[: out.index(row)].rpartition("<JB_job_number>")[2].partition("<")[0]

    def tasks(text: str) -> list[str]:
        found = dialect.read_queue(code, out.replace(row, f"<tasks>{text}</tasks>"), err)
        return [job for job, status in found.items() if job.partition(".")[0] == array]

    assert tasks("1-10:1") == [f"{array}.{task}" for task in range(1, 11)]
    assert tasks("1,3,4-6:1") == [f"{array}.{task}" for task in (1, 3, 4, 5, 6)]
    assert tasks("2-8:3") == [f"{array}.{task}" for task in (2, 5, 8)]
    for strange in ("undefined", "3-", "1-4:0", "-1"):
        with pytest.raises(SchedulerUnavailable, match="where task numbers belong"):
            tasks(strange)


def test_empty_queue_is_an_answer_and_empty_output_is_none() -> None:
    assert GridEngineDialect().read_queue(*captured("qstat_none")) == {}
    with pytest.raises(SchedulerUnavailable):
        GridEngineDialect().read_queue(0, "", "")


def test_queue_of_the_asking_user_is_asked_whatever_the_site_sets_as_default() -> None:
    question = GridEngineDialect().poll(["1"])
    assert question.argv == ("qstat", "-xml", "-g", "d", "-u", "$user", "-s", "prs")


@given(st.integers(min_value=0, max_value=len(captured("qstat_states")[1]) - len("</job_info>\n")))
def test_answer_cut_off_anywhere_is_no_answer(length: int) -> None:
    _, out, _ = captured("qstat_states")
    with pytest.raises(SchedulerUnavailable):
        GridEngineDialect().read_queue(0, out[:length], "")


def test_broken_xml_is_no_answer() -> None:
    _, out, _ = captured("qstat_states")
    with pytest.raises(SchedulerUnavailable, match="not XML"):
        GridEngineDialect().read_queue(0, out.replace("<JB_name>a1<", "<JB_name>a&1<"), "")


def test_job_without_a_state_is_no_answer() -> None:
    _, out, _ = captured("qstat_states")
    with pytest.raises(SchedulerUnavailable, match="without number"):
        GridEngineDialect().read_queue(0, out.replace("<state>qw</state>", ""), "")


def test_banner_around_the_answer_does_not_matter() -> None:
    code, out, err = captured("qstat_states")
    noisy = f"*** Welcome ***\n12\n{out}Have fun\n"
    dialect = GridEngineDialect()
    assert dialect.read_queue(code, noisy, err) == dialect.read_queue(code, out, err)


# --- lookup by name


def test_name_is_looked_up_among_waiting_running_and_latest_ended_jobs_and_then_in_accounting() -> (
    None
):
    queue, history = GridEngineDialect().find(GOOD)
    assert queue.argv == ("qstat", "-xml", "-g", "d", "-u", "$user", "-s", "prsz")
    assert list(queue.read(*captured("qstat_ended"))) == [JOBS["good"]]
    assert history.argv == ("qacct", "-j", GOOD)
    assert list(history.read(*captured("qacct_by_name"))) == [JOBS["good"]]


def test_name_that_nobody_has_is_not_found() -> None:
    queue, history = GridEngineDialect().find("nosuchname")
    assert queue.read(*captured("qstat_ended")) == {}
    assert history.read(*captured("qacct_unknown_name")) == {}


# --- accounting


@pytest.mark.parametrize(
    ("case", "outcome", "exit_code", "signal"),
    [
        ("good", Outcome.EXITED, 0, None),
        ("fails", Outcome.EXITED, 3, None),
        ("heeded", Outcome.EXITED, 5, None),
        ("hundred", Outcome.EXITED, 100, None),
        ("signalled", Outcome.SIGNALLED, None, 9),
        ("ignored", Outcome.SIGNALLED, None, 9),
        ("cancelled", Outcome.CANCELLED, None, None),
        ("forced", Outcome.CANCELLED, None, None),
        ("limit", Outcome.TIME_LIMIT, None, None),
        ("limit_ignored", Outcome.TIME_LIMIT, None, None),
        ("limit_heeded", Outcome.TIME_LIMIT, None, None),
        ("memory", Outcome.MEMORY_LIMIT, None, None),
        ("error", Outcome.COULD_NOT_START, None, None),
    ],
)
def test_how_jobs_ended(
    case: str, outcome: Outcome, exit_code: int | None, signal: int | None
) -> None:
    status = ended(case)
    assert (status.phase, status.outcome) == (Phase.FINISHED, outcome)
    assert (status.exit_code, status.signal) == (exit_code, signal)


@pytest.mark.parametrize(("case", "code"), [("restarts", 4), ("again", 6)])
def test_last_record_of_a_job_that_was_started_again_counts(case: str, code: int) -> None:
    status = ended(case)
    assert (status.exit_code, status.restarts) == (code, 1)


def test_record_of_a_start_that_was_not_the_last_is_no_end() -> None:
    code, out, err = captured("qacct_again")
    first = out[: out.index("=", out.index("category"))]
    assert accounting.read(code, first, err) == {}


def test_records_of_another_job_that_had_the_same_id_are_told_by_its_name() -> None:
    code, out, err = captured("qacct_again")
    first, second = (f"{'=' * 62}\n{text}" for text in out.split(f"{'=' * 62}\n")[1:])
    assert ended("again").name == "a1"
    other = second.replace("jobname      a1", "jobname      a2")
    (status,) = accounting.read(code, first + other, err).values()
    assert (status.name, status.restarts) == ("a2", 0)


def with_fields(case: str, **changes: str) -> JobStatus:
    """A captured record with other values in some fields."""
    code, out, err = captured(f"qacct_{case}")
    lines = [
        f"{key:<13}{changes.get(key, value)}"
        for key, _, value in (line.partition(" ") for line in out.splitlines())
    ]
    (status,) = accounting.read(code, "\n".join(lines) + "\n", err).values()
    return status


@pytest.mark.parametrize(
    ("failed", "outcome"),
    [
        *((failed, Outcome.COULD_NOT_START) for failed in (1, 3, 4, 7, 8, 9, 10, 11, 26, 27, 28)),
        *((failed, Outcome.NODE_FAILURE) for failed in (18, 19, 21)),
        *((failed, Outcome.UNKNOWN) for failed in (12, 13, 14, 15, 99)),
        (17, Outcome.CANCELLED),
    ],
)
def test_failure_codes_of_the_manual(failed: int, outcome: Outcome) -> None:
    status = with_fields("good", failed=f"{failed} : words of Grid Engine")
    assert (status.outcome, status.exit_code) == (outcome, None)
    assert status.detail == f"failed {failed} : words of Grid Engine"


def test_job_killed_at_its_time_limit_by_a_site_that_does_not_say_so() -> None:
    killed = {"failed": "100 : assumedly after job", "exit_status": "137 (Killed)"}
    limits = {"category": "-l h_rt=1:0:0,h_vmem=2G"}
    status = with_fields("good", **killed, **limits, ru_wallclock="3601s")
    assert status.outcome is Outcome.TIME_LIMIT
    assert with_fields("good", **killed, **limits, ru_wallclock="3000s").signal == 9


def test_memory_limit_counts_for_each_slot() -> None:
    killed = {"failed": "100 : assumedly after job", "exit_status": "137 (Killed)", "slots": "4"}
    killed["category"] = "-l h_vmem=500M -pe smp 4"
    assert with_fields("good", **killed, maxvmem="1.990GB").outcome is Outcome.MEMORY_LIMIT
    assert with_fields("good", **killed, maxvmem="1.500GB").outcome is Outcome.SIGNALLED


def test_container_runtime_that_passed_the_notice_on_was_cancelled() -> None:
    """Measured with Apptainer, which exits by itself, with 128 and the number of SIGUSR2."""
    assert with_fields("fails", exit_status="140").outcome is Outcome.CANCELLED


def test_exit_code_above_128_is_a_code_unless_grid_engine_saw_a_signal() -> None:
    status = with_fields("fails", exit_status="137")
    assert (status.outcome, status.exit_code) == (Outcome.EXITED, 137)


@pytest.mark.parametrize("case", ["unknown", "unknown_name", "no_file"])
def test_accounting_that_knows_nothing_or_is_out_of_sight_is_an_empty_answer(case: str) -> None:
    assert accounting.read(*captured(f"qacct_{case}")) == {}


@pytest.mark.parametrize("case", ["no_cell", "unreadable"])
def test_accounting_that_cannot_be_asked_is_no_answer(case: str) -> None:
    with pytest.raises(SchedulerUnavailable):
        accounting.read(*captured(f"qacct_{case}"))


@given(st.integers(min_value=0, max_value=captured("qacct_good")[1].index("maxvmem")))
def test_record_cut_off_anywhere_is_no_answer(length: int) -> None:
    with pytest.raises(SchedulerUnavailable):
        accounting.read(0, captured("qacct_good")[1][:length], "")


# --- control


@pytest.mark.parametrize(
    ("action", "command"),
    [
        (Action.CANCEL, "qdel 1 2"),
        (Action.HOLD, "qhold 1 2"),
        (Action.RELEASE, "qrls 1 2"),
        (Action.SUSPEND, "qmod -sj 1 2"),
        (Action.RESUME, "qmod -usj 1 2"),
    ],
)
def test_commands(action: Action, command: str) -> None:
    (question,) = GridEngineDialect().control(action, ["1", "2"])
    assert " ".join(question.argv) == command


@pytest.mark.parametrize(
    "case",
    [
        *("qdel_running", "qdel_again", "qdel_waiting", "qdel_unknown"),
        *("qhold_waiting", "qhold_again", "qhold_mixed", "qrls_held", "qrls_again"),
        *("qmod_suspend", "qmod_suspend_again", "qmod_suspend_waiting", "qmod_unknown"),
        *("qmod_resume", "qmod_resume_running"),
    ],
)
def test_what_is_done_over_or_unknown_is_no_error(case: str) -> None:
    read_control(*captured(case))


@pytest.mark.parametrize(
    "case",
    [
        *("qdel_theirs", "qdel_mixed", "qhold_theirs", "qrls_theirs", "qmod_theirs"),
        "qdel_not_a_submit_host",
    ],
)
def test_what_this_account_may_not_do_says_who_may(case: str) -> None:
    with pytest.raises(NotPermitted, match="an operator on any host") as refusal:
        read_control(*captured(case))
    assert "has deleted" not in str(refusal.value)


def test_any_other_failure_is_an_error() -> None:
    with pytest.raises(SchedulerError, match="out of tune"):
        read_control(1, "the qmaster is out of tune\n", "")
    with pytest.raises(SchedulerError, match="exit status 1"):
        read_control(1, "", "")


@pytest.mark.parametrize("state", ["S", "T", "SR"])
def test_job_whose_queue_is_suspended_is_not_said_to_be_resumed(state: str) -> None:
    with pytest.raises(NotPermitted, match="only an operator"):
        GridEngineDialect().control(Action.RESUME, ["1"], state)


@pytest.mark.parametrize("state", ["s", "Ss", ""])
def test_job_that_was_suspended_itself_is_resumed(state: str) -> None:
    assert GridEngineDialect().control(Action.RESUME, ["1"], state)


# --- nobody answers


@pytest.mark.parametrize(
    "case",
    [
        *("qstat_server_down", "qsub_server_down", "qdel_server_down", "qhold_server_down"),
        *("qrls_server_down", "qmod_server_down", "qstat_no_cell", "qsub_no_cell"),
    ],
)
def test_server_that_is_down_is_recognized(case: str) -> None:
    code, out, err = captured(case)
    assert code != 0
    assert GridEngineDialect.messages.cannot_ask.search(f"{out}\n{err}")


@pytest.mark.parametrize(
    "case",
    [
        path.stem
        for path in sorted((dialects.CAPTURED / "gridengine").glob("*.rc"))
        if not path.stem.endswith(("_server_down", "_no_cell"))
    ],
)
def test_answer_of_a_server_that_is_up_is_not_taken_for_silence(case: str) -> None:
    _, out, err = captured(case)
    assert not GridEngineDialect.messages.cannot_ask.search(f"{out}\n{err}")


def test_a_launcher_that_got_the_notice_before_a_kill_was_cancelled() -> None:
    dialect = GridEngineDialect()
    log = "2026-11-26 00:04:34,153 joblauncher: asked to stop by SIGUSR2\nLookupError: ascii\n"
    assert dialect.explain(log) is Outcome.CANCELLED
    assert dialect.explain("2026-11-26 00:04:34,153 joblauncher: asked to stop by SIGTERM") is None


def test_control_character_in_the_name_of_some_other_job_hides_no_job() -> None:
    code, out, err = captured("qstat_states")
    good = GridEngineDialect().read_queue(code, out, err)
    name = next(iter(good.values())).name
    odd = GridEngineDialect().read_queue(code, out.replace(f">{name}<", ">\x01<"), err)
    assert odd.keys() == good.keys()


# --- other releases, from public sources

#: msg_sgeobjlib.h of 6.2u5 and of Open Grid Scheduler, MSG_SGETEXT_NO…HOST_S (33126 to 33128).
NOT_REGISTERED = [
    'denied: host "web1" is no admin host',
    'denied: host "web1" is no submit host',
    'denied: host "web1" is neither submit nor admin host',
]


@pytest.mark.parametrize("words", NOT_REGISTERED)
def test_host_that_is_not_registered_may_not_control_jobs_in_the_words_of_any_release(
    words: str,
) -> None:
    for stdout, stderr in ((f"{words}\n", ""), ("", f"error: {words}\n")):
        with pytest.raises(NotPermitted, match="web1"):
            read_control(1, stdout, stderr)


def test_host_that_is_not_registered_cannot_ask_and_is_told_what_to_do() -> None:
    words = f"error: {NOT_REGISTERED[2]}\n"
    with pytest.raises(SchedulerUnavailable, match="neither submit nor admin host"):
        GridEngineDialect().read_queue(1, "", words)
    remedy = next(text for sign, text in GridEngineDialect.remedies if sign in words)
    assert "qconf -as" in remedy


_JOBS = (
    '<job_list state="{listed}"><JB_job_number>{number}</JB_job_number><JAT_prio>0.5</JAT_prio>'
    "<JB_name>w{number}</JB_name><JB_owner>wps</JB_owner><state>{state}</state>{more}</job_list>"
)
_RUNS = _JOBS.format(
    listed="running",
    number=7,
    state="r",
    more="<JAT_start_time>2016-08-24T11:13:14</JAT_start_time><queue_name>all.q@n1</queue_name>"
    "<slots>1</slots>",
)
_WAITS = _JOBS.format(
    listed="pending",
    number=8,
    state="hqw",
    more="<JB_submission_time>2019-06-23T13:28:09</JB_submission_time><queue_name></queue_name>"
    "<slots>1</slots><tasks>2-4:1</tasks>",
)
_OPEN = "<job_info  xmlns:xsd="


@pytest.mark.parametrize(
    "document",
    [
        # With revision 1.11 of the schema; by queue, where a site's sge_qstat file has -f.
        f'{_OPEN}"http://gridengine.sunsource.net/source/browse/*checkout*/gridengine/source/dist'
        f'/util/resources/schemas/qstat/qstat.xsd?revision=1.11"><queue_info><Queue-List>'
        f"<name>all.q@n1</name>{_RUNS}</Queue-List></queue_info><job_info>{_WAITS}</job_info>"
        "</job_info>",
        # Of 6.x, as AiiDA's tests for Grid Engine have it.
        f'{_OPEN}"http://www.w3.org/2001/XMLSchema"><queue_info>{_RUNS}</queue_info>'
        f"<job_info>{_WAITS}</job_info></job_info>",
        # An element without content may be closed at once (XML 1.0, 3.1).
        f'{_OPEN}"http://www.w3.org/2001/XMLSchema">\n  <queue_info>\n{_RUNS}\n  </queue_info>\n'
        f"  <job_info>\n{_WAITS.replace('<queue_name></queue_name>', '<queue_name/>')}\n"
        "  </job_info>\n</job_info>",
    ],
    ids=["by queue", "6.x", "empty elements"],
)
def test_queue_reads_the_same_in_the_form_of_any_release(document: str) -> None:
    answer = GridEngineDialect().read_queue(0, f"<?xml version='1.0'?>\n{document}\n", "")
    assert {job: (one.phase, one.name) for job, one in answer.items()} == {
        "7": (Phase.RUNNING, "w7"),
        **{f"8.{task}": (Phase.HELD, "w8") for task in (2, 3, 4)},
    }


def test_document_in_which_no_job_would_be_found_is_no_answer() -> None:
    """As a release might say it that gave its elements a namespace."""
    document = f'<job_info xmlns="urn:qstat"><queue_info>{_RUNS}</queue_info></job_info>'
    with pytest.raises(SchedulerUnavailable, match="another document"):
        GridEngineDialect().read_queue(0, f"<?xml version='1.0'?>\n{document}\n", "")


#: Release -> the width of the names in qacct's answer, and the fields in it; none has a category.
RECORDS = {
    # As GC3Pie's tests for Grid Engine 6.2 have it: numbers without units.
    "6.2": (
        13,
        "qname=all.q hostname=n1 jobname=w1 jobnumber=7 taskid={task} account=sge priority=0 "
        "qsub_time=Thu_Mar_15_08:42:46_2012 granted_pe=NONE slots=1 failed={failed} "
        "exit_status={code} ru_wallclock={seconds} ru_minflt=22296 cpu=0.248 maxvmem=13.152M "
        "arid=undefined",
    ),
    # As LoamStream's tests for Univa 8.6 have it: fractions of seconds, and who deleted the job.
    "univa": (
        13,
        "qname=broad hostname=n1 jobname=w1 jobnumber=7 taskid={task} pe_taskid=NONE account=sge "
        "cwd=/home/wps submit_cmd=qsub_-terse qsub_time=08/06/2020_20:38:52.994 slots=1 "
        "failed={failed} deleted_by=NONE exit_status={code} ru_wallclock={seconds}.164 "
        "ru_minflt=101211 wallclock=9.182 maxvmem=320.895M maxrss=0.000 arid=undefined "
        "jc_name=NONE",
    ),
    # showjob in ocs_qacct.cc of Open Cluster Scheduler: wide columns, bytes.
    "ocs": (
        35,
        "qname=all.q hostname=n1 jobname=w1 jobnumber=7 taskid={task} pe_taskid=NONE account=sge "
        "submission_command_line=qsub slots=1 failed={failed} exit_status={code} "
        "ru_wallclock={seconds} ru_minflt=4011 wallclock=9.182 maxvmem=3330048 maxrss=0 "
        "arid=undefined",
    ),
}


def record(release: str, *, task: str = "undefined", **facts: object) -> str:
    """qacct's answer about one job in a release's form."""
    width, fields = RECORDS[release]
    values = {"failed": "0", "code": 0, "seconds": 8, "task": task} | facts
    pairs = (field.partition("=") for field in fields.format(**values).split())
    lines = (f"{key:<{width}}{value.replace('_', ' '):<20}\n" for key, _, value in pairs)
    return f"{'=' * 62}\n{''.join(lines)}"


@pytest.mark.parametrize("release", RECORDS)
@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, (Outcome.EXITED, 0, None)),
        ({"code": 3}, (Outcome.EXITED, 3, None)),
        ({"failed": "100_:_assumedly_after_job", "code": 137}, (Outcome.SIGNALLED, None, 9)),
        ({"failed": "37_:_qmaster_enforced_h_rt", "code": 137}, (Outcome.TIME_LIMIT, None, None)),
        ({"failed": "26_:_opening_input/output_file"}, (Outcome.COULD_NOT_START, None, None)),
        # Its notice: of a deletion, or of the time limit, of which these records say nothing.
        ({"failed": "100_:_assumedly_after_job", "code": 140}, (Outcome.SIGNALLED, None, 12)),
    ],
)
def test_accounting_reads_the_same_in_the_form_of_any_release(
    release: str, facts: dict[str, object], told: tuple[Outcome, int | None, int | None]
) -> None:
    (status,) = accounting.read(0, record(release, **facts), "").values()
    assert (status.outcome, status.exit_code, status.signal) == told
    array = "".join(record(release, task=task, **facts) for task in ("1", "3"))
    assert list(accounting.read(0, array, "")) == ["7.1", "7.3"]


@pytest.mark.parametrize("release", ["univa", "ocs"])
def test_record_of_a_process_of_a_parallel_job_is_not_the_job_s_own(release: str) -> None:
    own = record(release)
    name, value = next(line for line in own.splitlines() if "pe_taskid" in line).split()
    task = record(release, code=1).replace(f"{name:<{RECORDS[release][0]}}{value}", f"{name} 1.n1")
    assert "1.n1" in task
    (status,) = accounting.read(0, own + task, "").values()
    assert status.exit_code == 0
