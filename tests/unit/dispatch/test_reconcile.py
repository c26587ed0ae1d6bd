"""The decision table, whole: every pair of what the batch system says and what the job left."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblauncher.shared.exits import NOT_MINE
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.decide.action import Action, Do
from pywps_hpc.dispatch.decide.evidence import Evidence, Left
from pywps_hpc.dispatch.decide.reconcile import (
    CUTS,
    STATES,
    TABLE,
    Seen,
    decide,
    decide_submission,
    may_succeed,
    needs_evidence,
    needs_log,
)
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase, Resources
from pywps_hpc.durations import clock_with_days
from pywps_hpc.jobs import TERMINAL, TRANSITIONS, Cause, ControlRequest, Job, State
from pywps_hpc.timing import TIMING

NOW, GRACE = 1_000_000.0, 60.0
RESOURCES = Resources(memory=2048, walltime=600)
OWN = "the message of the job's document"
LIVING = [JobStatus(phase) for phase in Phase if phase is not Phase.FINISHED]


def job(state: State = State.RUNNING, *, missing: float | None = None, **changes: object) -> Job:
    """A job, ``missing`` seconds after its end could first not be judged."""
    since = 0.0 if missing is None else NOW - missing
    facts = {"native_id": "7", "missing_since": since} | changes
    return Job("id", "w1", "hello", "d", state=state, **facts)  # type: ignore[arg-type]


def over(outcome: Outcome, **facts: object) -> JobStatus:
    return JobStatus(Phase.FINISHED, outcome, **facts)  # type: ignore[arg-type]


def left(what: Left, **facts: object) -> Evidence:
    given = {"closed": what is not Left.OPEN, "message": OWN if what is not Left.OPEN else ""}
    return Evidence(what, **(given | facts))  # type: ignore[arg-type]


def judge(row: Job, status: JobStatus | None, evidence: Evidence, **more: object) -> Action:
    facts = {"resources": RESOURCES, "now": NOW, "grace": GRACE} | more
    return decide(row, status, evidence, **facts)  # type: ignore[arg-type]


CLEAN = over(Outcome.EXITED, exit_code=0)
ENDED = [
    over(Outcome.EXITED, exit_code=1),
    over(Outcome.EXITED),
    over(Outcome.SIGNALLED, signal=9),
    over(Outcome.COULD_NOT_START),
    over(Outcome.UNKNOWN),
]
CUT = [over(outcome) for outcome in CUTS]
TWICE = over(Outcome.EXITED, exit_code=NOT_MINE)
#: How a job can have ended that told its success, and was right.
INNOCENT = [
    CLEAN,
    over(Outcome.NODE_FAILURE),
    over(Outcome.PREEMPTED),
    over(Outcome.UNKNOWN),
]
#: Every status there is, by what it means.
STATUSES: list[tuple[Seen, JobStatus | None, bool]] = [
    *((Seen.ALIVE, status, True) for status in LIVING),
    (Seen.CLEAN, CLEAN, True),
    *((Seen.ENDED, status, True) for status in ENDED),
    *((Seen.CUT, status, True) for status in CUT),
    (Seen.TWICE, TWICE, True),
    (Seen.GONE, None, True),
    (Seen.UNASKED, None, False),
]
FAIL_OWN = Action(Do.END, State.FAILED, OWN, cause=Cause.PROCESS)
WAIT, KEEP = Action(Do.WAIT), Action(Do.KEEP)
SUCCEED = Action(Do.END, State.SUCCEEDED)


#: Of an end of which the batch system alone tells; of any other it is the system.
CAUSES = {
    Outcome.TIME_LIMIT: Cause.TIME,
    Outcome.MEMORY_LIMIT: Cause.MEMORY,
    Outcome.NODE_FAILURE: Cause.NODE,
}


def explain(reason: str, do: Do = Do.END, cause: Cause = Cause.SYSTEM) -> Action:
    return Action(do, State.FAILED, reason, rewrite=True, cause=cause)


def told_by(status: JobStatus) -> Action:
    """What follows from an end of which the batch system alone tells."""
    cause = CAUSES.get(status.outcome, Cause.SYSTEM) if status.outcome else Cause.SYSTEM
    return explain(messages.why(status, RESOURCES), cause=cause)


def test_the_table_has_an_answer_to_everything() -> None:
    named = {*(seen for seen, _, _ in STATUSES), Seen.AGAIN, Seen.LOGGED, Seen.FORGOTTEN}
    assert set(TABLE) == set(Seen) == named
    assert all(set(row) == set(Left) for row in TABLE.values())
    assert {status.outcome for _, status, _ in STATUSES if status} == {None, *Outcome}


@pytest.mark.parametrize("status", INNOCENT)
def test_a_success_is_a_success_unless_the_batch_system_contradicts_it(status: JobStatus) -> None:
    assert judge(job(), status, left(Left.SUCCESS)) == SUCCEED


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("status", [one for one in (*ENDED, *CUT) if one not in INNOCENT])
def test_a_forged_success_does_not_outlive_the_end_that_the_batch_system_saw(
    status: JobStatus, closed: bool
) -> None:
    evidence = left(Left.SUCCESS, closed=closed)
    assert not may_succeed(status, evidence)
    assert judge(job(missing=TIMING.document_lag), status, evidence) == told_by(status)


@pytest.mark.parametrize(
    ("seen", "status", "asked"),
    [one for one in STATUSES if one[0] not in (Seen.ALIVE, Seen.TWICE, Seen.GONE, Seen.UNASKED)],
)
def test_a_failure_of_the_process_keeps_its_words_however_the_batch_system_saw_it_end(
    seen: Seen, status: JobStatus | None, asked: bool
) -> None:
    assert judge(job(), status, left(Left.FAILURE), asked=asked) == FAIL_OWN


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("what", [Left.SUCCESS, Left.FAILURE, Left.CUT_SHORT])
@pytest.mark.parametrize("status", LIVING)
def test_no_document_ends_a_job_that_the_batch_system_has_alive(
    status: JobStatus, what: Left, closed: bool
) -> None:
    action = judge(job(State.ACCEPTED), status, left(what, closed=closed))
    assert action == Action(Do.MOVE, STATES[status.phase])


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("what", [Left.SUCCESS, Left.FAILURE])
def test_no_document_ends_a_missing_job_before_its_grace(
    what: Left, closed: bool, asked: bool
) -> None:
    """It may be alive and have forged them; accounting may come to contradict it."""
    expected = SUCCEED if what is Left.SUCCESS else FAIL_OWN
    told = left(what, closed=closed)
    assert judge(job(), None, told, asked=asked) == WAIT
    assert judge(job(missing=GRACE - 0.1), None, told, asked=asked) == WAIT
    assert judge(job(missing=GRACE), None, told, asked=asked) == expected


@pytest.mark.parametrize("what", [Left.SUCCESS, Left.FAILURE, Left.CUT_SHORT])
def test_the_end_of_a_job_that_the_batch_system_says_it_does_not_have_needs_no_grace(
    what: Left,
) -> None:
    """Nobody has it alive, and nobody will contradict it. One answer alone may be a mistake."""
    tellings = {Left.SUCCESS: SUCCEED, Left.FAILURE: FAIL_OWN, Left.CUT_SHORT: explain(OWN)}

    def after(missing: float | None) -> Action:
        return judge(job(missing=missing), None, left(what), forgotten=True)

    assert after(None) == after(TIMING.document_lag - 0.1) == WAIT
    assert after(TIMING.document_lag) == tellings[what]


def test_a_job_without_an_end_has_its_grace_whoever_has_forgotten_it() -> None:
    def after(missing: float) -> Action:
        return judge(job(missing=missing), None, Evidence(begun=True), forgotten=True)

    assert after(GRACE - 0.1) == WAIT
    assert after(GRACE) == explain(messages.LOST)


@pytest.mark.parametrize("gone", [True, False])
def test_a_launcher_that_was_killed_upon_its_stop_signal_has_told_of_that(gone: bool) -> None:
    """As one whose report of it is there; nothing is told of a job that the batch system has."""
    evidence = Evidence(begun=True, stop_signal="SIGTERM")
    patience = TIMING.document_lag if gone else GRACE

    def after(missing: float) -> Action:
        return judge(job(missing=missing), None, evidence, forgotten=gone)

    assert after(patience - 0.1) == WAIT
    assert after(patience) == explain("stopped by the batch system (SIGTERM)")
    limited = judge(
        job(missing=patience), None, evidence, forgotten=gone, logged=Outcome.TIME_LIMIT
    )
    assert limited == told_by(over(Outcome.TIME_LIMIT))
    for status in LIVING:
        assert judge(job(), status, evidence) == judge(job(), status, Evidence(begun=True))


def test_a_job_that_never_began_and_is_forgotten_was_cancelled_while_it_waited_or_lost() -> None:
    def after(missing: float, *, forgotten: bool = True, **facts: object) -> Action:
        row, evidence = job(State.QUEUED, missing=missing), Evidence(**facts)  # type: ignore[arg-type]
        return judge(row, None, evidence, forgotten=forgotten)

    lag = TIMING.document_lag
    assert after(lag - 0.1) == WAIT
    assert after(lag) == explain(messages.CANCELLED_OR_LOST)
    assert after(lag, forgotten=False) == after(lag, begun=True) == WAIT


def test_a_dismissed_job_that_the_batch_system_says_it_does_not_have_is_dismissed() -> None:
    def after(missing: float) -> Action:
        row = job(missing=missing, control=ControlRequest.DISMISS)
        return judge(row, None, Evidence(), forgotten=True)

    assert after(TIMING.document_lag - 0.1) == WAIT
    assert after(TIMING.document_lag).state is State.DISMISSED


@pytest.mark.parametrize("what", [Left.SUCCESS, Left.FAILURE])
@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.HELD])
def test_a_job_that_told_its_end_needs_no_further_start(what: Left, phase: Phase) -> None:
    expected = SUCCEED if what is Left.SUCCESS else FAIL_OWN
    again = JobStatus(phase, restarts=1)
    assert judge(job(), again, left(what)) == expected
    assert judge(job(), again, left(what, closed=False)).do is Do.MOVE
    assert judge(job(), again, left(what, attempt=1)).do is Do.MOVE


@pytest.mark.parametrize("what", [Left.SUCCESS, Left.FAILURE])
def test_a_job_that_works_on_after_its_end_was_seen_is_told_to_end(what: Left) -> None:
    def after(seconds: float, phase: Phase = Phase.RUNNING, **facts: object) -> Action:
        row = job(end_seen=int(NOW - seconds))
        return judge(row, JobStatus(phase), left(what, **facts))

    assert after(TIMING.linger - 1) == KEEP
    assert after(TIMING.linger) == Action(Do.STOP, message=messages.LINGERED)
    assert after(TIMING.linger, closed=False) == KEEP
    row, running = job(end_seen=int(NOW - 10 * TIMING.linger)), JobStatus(Phase.RUNNING)
    assert judge(row, running, left(what), answering=NOW - TIMING.linger + 1) == KEEP
    assert judge(row, running, left(what), answering=NOW - TIMING.linger).do is Do.STOP
    assert after(TIMING.linger, Phase.SUSPENDED) == Action(Do.MOVE, State.PAUSED)
    assert judge(job(), JobStatus(Phase.RUNNING), left(what)) == KEEP


def test_a_second_start_that_was_refused_confirms_the_success_of_the_first() -> None:
    again = dataclasses.replace(TWICE, restarts=1)
    assert judge(job(), again, left(Left.SUCCESS)) == Action(Do.LOOK_UP, State.SUCCEEDED)
    assert judge(job(), TWICE, left(Left.SUCCESS)) == explain(messages.TWICE, Do.LOOK_UP)
    assert judge(job(), TWICE, left(Left.FAILURE)) == Action(
        Do.LOOK_UP, State.FAILED, OWN, cause=Cause.PROCESS
    )


@pytest.mark.parametrize("status", [over(Outcome.EXITED, exit_code=1), CLEAN])
def test_a_process_that_got_no_more_memory_is_told_how_much_was_asked_for(
    status: JobStatus,
) -> None:
    message = "the process ran out of memory: 2 GB had been asked for"
    assert judge(job(missing=GRACE), status, left(Left.CUT_SHORT, out_of_memory=True)) == explain(
        message, cause=Cause.MEMORY
    )


@pytest.mark.parametrize("status", LIVING)
def test_the_reason_why_a_job_was_cut_short_is_awaited(status: JobStatus) -> None:
    assert judge(job(STATES[status.phase]), status, left(Left.CUT_SHORT)) == KEEP


@pytest.mark.parametrize("status", CUT)
def test_the_batch_system_s_reason_replaces_the_launcher_s(status: JobStatus) -> None:
    action = judge(job(), status, left(Left.CUT_SHORT))
    assert action == told_by(status)


@pytest.mark.parametrize("status", [CLEAN, *ENDED, TWICE])
def test_where_the_batch_system_knows_no_more_the_launcher_s_words_stay(status: JobStatus) -> None:
    assert judge(job(), status, left(Left.CUT_SHORT)) == explain(OWN)


@pytest.mark.parametrize("status", [*ENDED, *CUT])
def test_a_job_that_left_nothing_is_explained_once_the_file_system_has_settled(
    status: JobStatus,
) -> None:
    assert judge(job(), status, Evidence()) == WAIT
    assert judge(job(missing=TIMING.document_lag - 0.1), status, Evidence()) == WAIT
    assert judge(job(missing=TIMING.document_lag), status, Evidence()) == told_by(status)


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        (Cause.UNKNOWN, Cause.SYSTEM),  # killed from outside, or refused
        (Cause.PROCESS, Cause.PROCESS),  # its interpreter crashed
    ],
)
def test_the_launcher_s_words_come_with_the_cause_that_it_knows(known: Cause, cause: Cause) -> None:
    action = judge(job(), over(Outcome.EXITED, exit_code=1), left(Left.CUT_SHORT, cause=known))
    assert action == explain(OWN, cause=cause)


@pytest.mark.parametrize("code", [72, 126, 127, 255])
def test_an_exit_code_that_tells_of_the_node_blames_it(code: int) -> None:
    status = over(Outcome.EXITED, exit_code=code)
    action = judge(job(missing=GRACE), status, Evidence())
    assert action == explain(messages.exit_code(code), cause=Cause.NODE)


def test_a_process_that_fails_for_an_input_says_so() -> None:
    evidence = left(Left.FAILURE, cause=Cause.INPUT)
    assert judge(job(), CLEAN, evidence) == Action(Do.END, State.FAILED, OWN, cause=Cause.INPUT)


def test_settling_takes_no_longer_than_the_grace() -> None:
    assert judge(job(missing=1.0), CUT[0], Evidence(), grace=1.0).do is Do.END


def test_exit_code_0_without_a_result_fails_after_the_grace() -> None:
    assert judge(job(), CLEAN, Evidence()) == WAIT
    assert judge(job(missing=GRACE - 0.1), CLEAN, Evidence()) == WAIT
    assert judge(job(missing=GRACE), CLEAN, Evidence()) == explain(messages.NO_RESULT)


def test_an_absent_job_fails_after_the_grace() -> None:
    assert judge(job(), None, Evidence()) == WAIT
    assert judge(job(missing=GRACE - 0.1), None, Evidence()) == WAIT
    assert judge(job(missing=GRACE), None, Evidence()) == explain(messages.LOST)


def test_an_absent_job_that_was_cut_short_keeps_its_words_if_nobody_tells_better() -> None:
    evidence = left(Left.CUT_SHORT)
    assert judge(job(), None, evidence) == WAIT
    assert judge(job(missing=GRACE), None, evidence) == explain(OWN)


@pytest.mark.parametrize("what", [Left.OPEN, Left.CUT_SHORT])
@pytest.mark.parametrize("missing", [None, 0.0, 10 * GRACE])
def test_as_long_as_accounting_cannot_be_asked_nothing_changes(
    what: Left, missing: float | None
) -> None:
    assert judge(job(missing=missing), None, left(what), asked=False) == KEEP


def test_a_refused_start_is_looked_up_under_another_id() -> None:
    assert judge(job(), TWICE, Evidence()) == explain(messages.TWICE, Do.LOOK_UP)


# Following a living job


@pytest.mark.parametrize("status", LIVING)
@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.PAUSED])
def test_a_living_job_stands_where_the_batch_system_says(state: State, status: JobStatus) -> None:
    expected = STATES[status.phase]
    action = judge(job(state), status, Evidence())
    assert action == (KEEP if expected is state else Action(Do.MOVE, expected))


def test_a_job_that_is_back_is_no_longer_missing() -> None:
    assert judge(job(missing=3), JobStatus(Phase.RUNNING), Evidence()) == Action(Do.NOTE)


def test_a_hopeless_job_is_explained_to_its_user_once() -> None:
    status = JobStatus(Phase.QUEUED, detail="BadConstraints", hopeless=True)
    reason = messages.cannot_start("BadConstraints")
    assert judge(job(State.QUEUED), status, Evidence()) == Action(Do.NOTE, message=reason)
    assert judge(job(State.QUEUED, message=reason), status, Evidence()) == KEEP
    usual = JobStatus(Phase.QUEUED)
    assert judge(job(State.QUEUED, message=reason), usual, Evidence()) == Action(Do.NOTE)


def test_words_about_a_refused_wish_stay_while_the_job_goes_on() -> None:
    row = job(message="cannot pause: not permitted")
    assert judge(row, JobStatus(Phase.RUNNING), Evidence()) == KEEP


# Dismissal


@pytest.mark.parametrize("what", Left)
@pytest.mark.parametrize("status", [CLEAN, *ENDED, *CUT, TWICE])
def test_a_dismissed_job_that_is_over_was_dismissed(status: JobStatus, what: Left) -> None:
    """And if the batch system has it under another id, too, that has to end first."""
    action = judge(job(control=ControlRequest.DISMISS), status, left(what))
    assert action == Action(Do.LOOK_UP, State.DISMISSED, messages.DISMISSED, rewrite=True)


@pytest.mark.parametrize("what", Left)
@pytest.mark.parametrize("status", LIVING)
def test_a_dismissed_job_that_lives_is_not_over(status: JobStatus, what: Left) -> None:
    assert judge(job(control=ControlRequest.DISMISS), status, left(what)).do in (Do.KEEP, Do.MOVE)


@pytest.mark.parametrize("what", Left)
def test_a_dismissed_job_that_vanished_was_dismissed_once_its_grace_is_over(what: Left) -> None:
    row = job(control=ControlRequest.DISMISS)
    assert judge(row, None, left(what)) == WAIT
    late = job(control=ControlRequest.DISMISS, missing=GRACE)
    assert judge(late, None, left(what)).state is State.DISMISSED
    assert judge(late, None, left(what), asked=False) == KEEP


# The warning before the time limit


@pytest.mark.parametrize("status", [*ENDED, CLEAN, TWICE])
def test_a_stop_close_to_the_time_limit_is_the_time_limit(status: JobStatus) -> None:
    evidence = left(Left.CUT_SHORT, stopped=True, elapsed=545.0)
    assert judge(job(), status, evidence).message == "killed: time limit 00:10:00 reached"


@pytest.mark.parametrize(
    "facts",
    [
        {"stopped": True, "elapsed": 100.0},  # long before
        {"stopped": False, "elapsed": 599.0},  # crashed by itself
        {"stopped": True, "elapsed": None},
    ],
)
def test_other_ends_are_not_taken_for_the_time_limit(facts: dict[str, object]) -> None:
    evidence = left(Left.CUT_SHORT, **facts)
    assert judge(job(), over(Outcome.EXITED, exit_code=1), evidence) == explain(OWN)


def test_a_cancellation_close_to_the_time_limit_is_a_cancellation() -> None:
    evidence = left(Left.CUT_SHORT, stopped=True, elapsed=545.0)
    assert "administrator" in judge(job(), over(Outcome.CANCELLED), evidence).message


@pytest.mark.parametrize("attempt", [0, 1])
def test_a_start_that_left_no_word_is_not_explained_by_the_one_before(attempt: int) -> None:
    evidence = left(Left.CUT_SHORT, stopped=True, elapsed=1.0, attempt=attempt)
    status = over(Outcome.EXITED, exit_code=1, restarts=1)
    expected = explain(OWN) if attempt else explain(messages.exit_code(1))
    assert judge(job(missing=GRACE), status, evidence) == expected


# What holds for every input


@given(
    st.sampled_from(STATUSES),
    st.sampled_from(Left),
    st.booleans(),
    st.sampled_from([State.QUEUED, State.RUNNING, State.PAUSED]),
    st.sampled_from(ControlRequest),
    st.one_of(st.none(), st.floats(0, 1000)),
)
def test_every_decision_can_be_carried_out(
    answer: tuple[Seen, JobStatus | None, bool],
    what: Left,
    closed: bool,
    state: State,
    request: ControlRequest,
    missing: float | None,
) -> None:
    seen, status, asked = answer
    row = job(state, control=request, missing=missing)
    action = judge(row, status, left(what, closed=closed), asked=asked)
    if action.do is Do.MOVE:
        assert action.state in TRANSITIONS[state] - TERMINAL
    if action.do in (Do.END, Do.LOOK_UP):
        assert action.state in TERMINAL
        assert action.message or action.state is State.SUCCEEDED
    if action.rewrite:
        assert seen is not Seen.ALIVE, "the launcher may still write"
        assert seen is not Seen.UNASKED
        contradicted = not may_succeed(status, left(what, closed=closed))
        assert what is not Left.SUCCESS or contradicted or request is ControlRequest.DISMISS


# Submissions in doubt


def test_a_job_that_the_batch_system_has_is_adopted() -> None:
    row = job(State.SUBMITTING, missing=10 * GRACE)
    action = decide_submission(row, ["12", "13"], now=NOW, patience=GRACE)
    assert action == Action(Do.ADOPT, State.QUEUED, native_id="12")


def test_a_job_that_the_batch_system_does_not_have_is_retried_after_the_patience() -> None:
    def after(missing: float | None) -> Do:
        row = job(State.SUBMITTING, missing=missing)
        return decide_submission(row, [], now=NOW, patience=GRACE).do

    assert [after(None), after(GRACE - 0.1), after(GRACE)] == [Do.WAIT, Do.WAIT, Do.RETRY]


# What has to be read


@pytest.mark.parametrize(
    ("status", "changed", "expected"),
    [
        (JobStatus(Phase.RUNNING), False, False),
        (JobStatus(Phase.RUNNING), True, True),
        (CLEAN, False, True),
        (None, False, True),
    ],
)
def test_a_folder_is_opened_only_if_something_happened(
    status: JobStatus | None, changed: bool, expected: bool
) -> None:
    assert needs_evidence(status, changed=changed) is expected


def test_the_log_is_read_only_where_it_could_tell_more() -> None:
    found = {
        (seen, what)
        for (seen, status, _), what in itertools.product(STATUSES, Left)
        if needs_log(status, left(what))
    }
    ends = (Seen.ENDED, Seen.TWICE, Seen.GONE, Seen.UNASKED)
    assert found == set(itertools.product(ends, (Left.OPEN, Left.CUT_SHORT)))


# The message


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (over(Outcome.TIME_LIMIT), "killed: time limit 00:10:00 reached"),
        (over(Outcome.MEMORY_LIMIT), "killed: used more than the 2 GB asked for"),
        (over(Outcome.NODE_FAILURE, detail="NODE_FAIL"), "the compute node failed (NODE_FAIL)"),
        (
            over(Outcome.PREEMPTED, detail="PREEMPTED"),
            "stopped: the cluster needed its resources for other jobs (PREEMPTED)",
        ),
        (
            over(Outcome.CANCELLED, detail="CANCELLED by 0"),
            "cancelled by an administrator of the cluster (CANCELLED by 0)",
        ),
        (over(Outcome.COULD_NOT_START, detail="Eqw"), "could not start (Eqw)"),
        (over(Outcome.SIGNALLED, signal=11), "killed by signal 11 (SIGSEGV: segmentation fault)"),
        (
            over(Outcome.EXITED, exit_code=3),
            "the job ended with exit code 3 without leaving a result",
        ),
        (over(Outcome.EXITED, exit_code=137), "killed by signal 9 (SIGKILL: killed)"),
        (CLEAN, "the job ended without leaving a result"),
        (over(Outcome.UNKNOWN), "ended for a reason that the batch system does not give"),
        (over(Outcome.SIGNALLED), "ended for a reason that the batch system does not give"),
    ],
)
def test_each_way_to_die_has_its_sentence(status: JobStatus, sentence: str) -> None:
    assert messages.why(status, RESOURCES) == sentence


@pytest.mark.parametrize("code", [72, 126, 127, 255])
def test_a_job_that_never_reached_its_launcher_says_so(code: int) -> None:
    assert messages.exit_code(code).startswith("could not start: ")


def test_the_memory_that_was_used_is_told_where_it_is_known() -> None:
    def sentence(peak: float | None) -> str:
        return messages.why(over(Outcome.MEMORY_LIMIT), Resources(memory=300), peak)

    assert sentence(None) == "killed: used more than the 300 MB asked for"
    assert sentence(700.0) == "killed: one process used 700 MB, more than the 300 MB asked for"
    assert sentence(159.2) == (
        "killed: one process used 159 MB, all together more than the 300 MB asked for"
    )


LOGGED = [Outcome.TIME_LIMIT, Outcome.MEMORY_LIMIT]


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("what", [Left.OPEN, Left.CUT_SHORT])
@pytest.mark.parametrize("logged", LOGGED)
def test_limit_in_the_log_of_a_job_that_is_forgotten_is_its_end_without_the_whole_grace(
    logged: Outcome, what: Left, asked: bool
) -> None:
    def after(missing: float | None) -> Action:
        return judge(job(missing=missing), None, left(what), asked=asked, logged=logged)

    assert after(None) == after(TIMING.document_lag - 1) == WAIT  # one answer may lack a job
    assert after(TIMING.document_lag) == told_by(over(logged))


def test_deletion_in_the_log_of_a_job_that_is_forgotten_is_told_once_the_grace_has_passed() -> None:
    """Accounting that lags may yet name a limit."""
    for what in (Left.OPEN, Left.CUT_SHORT):
        told = partial(judge, status=None, evidence=left(what), logged=Outcome.CANCELLED)
        assert told(job(missing=GRACE - 1)) == WAIT
        assert told(job(missing=GRACE)) == told_by(over(Outcome.CANCELLED))


@pytest.mark.parametrize("logged", [None, Outcome.CANCELLED])
def test_stop_at_the_time_limit_is_that_limit_where_nobody_else_tells_of_the_end(
    logged: Outcome | None,
) -> None:
    """Grid Engine writes nothing into the log: all there is is the notice before the kill."""

    def told(elapsed: float, missing: float) -> Action:
        evidence = left(Left.CUT_SHORT, stopped=True, elapsed=elapsed)
        return judge(job(missing=missing), None, evidence, logged=logged)

    limit = float(RESOURCES.walltime)
    assert told(limit, GRACE - 1) == WAIT, "accounting that lags may yet tell another end"
    assert told(limit, GRACE) == told_by(over(Outcome.TIME_LIMIT))
    assert told(limit / 2, GRACE) != told_by(over(Outcome.TIME_LIMIT))


@pytest.mark.parametrize(
    ("logged", "elapsed", "told"),
    [
        (Outcome.CANCELLED, 600.0, Outcome.TIME_LIMIT),
        (Outcome.CANCELLED, 300.0, Outcome.CANCELLED),
        (Outcome.PREEMPTED, 600.0, Outcome.PREEMPTED),
        (Outcome.MEMORY_LIMIT, 600.0, Outcome.MEMORY_LIMIT),
    ],
)
def test_order_to_stop_at_the_time_limit_is_that_limit_where_the_log_names_no_other_reason(
    logged: Outcome, elapsed: float, told: Outcome
) -> None:
    """Of Grid Engine's releases some keep no record of what a job had asked for."""
    evidence = left(Left.CUT_SHORT, stopped=True, elapsed=elapsed)
    status = over(Outcome.SIGNALLED, signal=12)
    assert judge(job(), status, evidence, logged=logged) == told_by(over(told))


@pytest.mark.parametrize("what", [Left.SUCCESS, Left.FAILURE])
@pytest.mark.parametrize("logged", LOGGED)
def test_end_that_a_job_has_told_itself_does_not_depend_on_its_log(
    logged: Outcome, what: Left
) -> None:
    for asked in (True, False):
        for missing in (None, TIMING.document_lag, GRACE):
            row = job(missing=missing)
            with_log = judge(row, None, left(what), asked=asked, logged=logged)
            assert with_log == judge(row, None, left(what), asked=asked)


@pytest.mark.parametrize(
    ("seconds", "text"), [(59, "00:00:59"), (3600, "01:00:00"), (90061, "1-01:01:01")]
)
def test_times_read_as_in_the_settings(seconds: int, text: str) -> None:
    assert clock_with_days(seconds) == text


@pytest.mark.parametrize(
    ("mebibytes", "text"),
    [(1.6, "2 MB"), (512, "512 MB"), (1000, "1000 MB"), (1536, "1.5 GB"), (1026048, "1002 GB")],
)
def test_amounts_read_as_in_the_settings(mebibytes: float, text: str) -> None:
    assert messages.amount(mebibytes) == text


STOPPED = JobStatus(Phase.SUSPENDED, detail="STOPPED", by_signal=True)


def test_stop_signal_that_others_sent_is_not_told_as_a_pause() -> None:
    told = Action(Do.NOTE, message=messages.SIGNAL_SENT)
    assert judge(job(State.RUNNING), STOPPED, Evidence()) == told
    assert judge(job(State.QUEUED), STOPPED, Evidence()).state is State.RUNNING
    resumed = job(State.RUNNING, control=ControlRequest.RESUME, message=messages.SIGNAL_SENT)
    assert judge(resumed, JobStatus(Phase.RUNNING), Evidence()) == Action(Do.NOTE)


def test_stop_signal_of_ours_is_a_pause() -> None:
    assert (
        judge(job(State.RUNNING, control=ControlRequest.PAUSE), STOPPED, Evidence()).state
        is State.PAUSED
    )
    assert judge(job(State.PAUSED), STOPPED, Evidence()).do is Do.KEEP


def test_why_a_job_waits_is_kept_while_it_is_so() -> None:
    first = JobStatus(Phase.QUEUED, waits="other jobs come first")
    assert judge(job(State.QUEUED), first, Evidence()) == Action(Do.NOTE, waits=first.waits)
    waits = job(State.QUEUED, waits=first.waits)
    assert judge(waits, first, Evidence()).do is Do.KEEP
    assert judge(waits, JobStatus(Phase.QUEUED), Evidence()) == Action(Do.NOTE)
    assert judge(waits, JobStatus(Phase.RUNNING), Evidence()) == Action(Do.MOVE, State.RUNNING)
    back = judge(job(State.RUNNING), first, Evidence())
    assert back == Action(Do.MOVE, State.QUEUED, waits=first.waits)


def test_why_a_job_waits_takes_the_place_of_no_refused_request() -> None:
    refused = job(State.QUEUED, message="cannot pause: not permitted")
    first = JobStatus(Phase.QUEUED, waits="other jobs come first")
    assert judge(refused, first, Evidence()) == Action(
        Do.NOTE, message=refused.message, waits=first.waits
    )


def test_a_job_that_cannot_start_is_told_so_and_nothing_else() -> None:
    never = JobStatus(Phase.QUEUED, detail="Q (of /etc/x)", waits="of /etc/x", hopeless=True)
    action = judge(job(State.QUEUED), never, Evidence())
    assert action == Action(Do.NOTE, message=messages.CANNOT_START + "Q (of …)")


def test_why_a_job_waits_is_one_line_of_a_bounded_length_without_paths() -> None:
    told = JobStatus(Phase.QUEUED, waits="waits\nfor /var/spool/x " + "and so on " * 100)
    waits = judge(job(State.QUEUED), told, Evidence()).waits
    assert waits.startswith("waits for … and so on")
    assert len(waits) <= messages.LONGEST


def test_closed_queue_is_told_while_it_lasts() -> None:
    closed = JobStatus(Phase.QUEUED, detail="PENDING (PartitionDown)", maintenance=True)
    assert judge(job(State.QUEUED), closed, Evidence()) == Action(
        Do.NOTE, message=messages.MAINTENANCE
    )
    waits = job(State.QUEUED, message=messages.MAINTENANCE)
    assert judge(waits, closed, Evidence()).do is Do.KEEP
    assert judge(waits, JobStatus(Phase.QUEUED), Evidence()) == Action(Do.NOTE)
