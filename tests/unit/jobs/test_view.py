"""What everybody is shown of a job: decided from its row and its report, by no clock or file."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from joblauncher.shared.outcome import PROVISIONAL, Report
from pywps_hpc.jobs import ACTIVE, TERMINAL, Cause, ControlRequest, Job, State, standing
from pywps_hpc.jobs.view import Action, JobView, Output, PublicState, Queued, Usage, job_view

LOST = "lost: the batch system no longer knows the job"


def row(state: State = State.RUNNING, **facts: Any) -> Job:
    return Job("id", "w1", "counts", "d", state=state, **facts)


def report(
    state: str = "started", percent: int = 40, message: str = "60 left", **facts: Any
) -> Report:
    return Report("id", "counts", state, percent, message, **facts)


def shown(job: Job, told: Report | None = None, **known: Any) -> JobView:
    return job_view(job, told, scheduler="slurm", **known)


def told(job: Job, said: Report | None = None, **known: Any) -> tuple[PublicState, int | None, str]:
    seen = shown(job, said, **known)
    return seen.state, seen.percent, seen.message


ENDS = (
    report("succeeded", 100, "done"),
    report("failed", 100, "no outlet", cause="process"),
    report("failed", 100, "crashed", cause="launcher", finished=9.0),
)
#: What the report of a row without a cause says of it.
CAUSES = {
    "process": Cause.PROCESS,
    "input": Cause.INPUT,
    "memory": Cause.MEMORY,
    **dict.fromkeys(["dispatcher", "launcher", "killed", "stopped", "forged"], Cause.UNKNOWN),
}
CUT_SHORT = [report("failed", 40, "cut", cause=cause) for cause in sorted(PROVISIONAL)]
REPORTS = (None, report("accepted", 0, ""), report(), *ENDS, *CUT_SHORT)


# Where it stands


@pytest.mark.parametrize("said", REPORTS)
@pytest.mark.parametrize("state", sorted(State, key=lambda state: state.value))
def test_an_end_is_what_the_row_says_and_nothing_else_is_one(state: State, said: Report) -> None:
    seen = shown(row(state, message="why", started=5.0, native_id="7"), said)
    assert seen.is_over is seen.is_closed is (state in TERMINAL)
    if state in TERMINAL:
        assert seen.state.value == state.value
    assert seen.recorded is state


@pytest.mark.parametrize("said", REPORTS)
@pytest.mark.parametrize("state", sorted(ACTIVE | {State.DISMISSED}, key=lambda state: state.value))
def test_a_recorded_dismissal_is_all_that_is_shown(state: State, said: Report) -> None:
    seen = shown(
        row(state, control=ControlRequest.DISMISS, message="dismissed", native_id="7"), said
    )
    assert (seen.state, seen.percent, seen.is_over) == (PublicState.DISMISSED, None, True)
    words = "dismissed" if state is State.DISMISSED else standing.DISMISSING
    assert seen.message == seen.reason == words
    assert seen.outputs == ()
    assert not seen.actions - {Action.LOG}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.STAGING, PublicState.ACCEPTED),
        (State.ACCEPTED, PublicState.ACCEPTED),
        (State.SUBMITTING, PublicState.ACCEPTED),
        (State.QUEUED, PublicState.QUEUED),
        (State.RUNNING, PublicState.RUNNING),
        (State.PAUSED, PublicState.PAUSED),
    ],
)
def test_without_a_report_the_row_tells_how_far_a_job_is(
    state: State, expected: PublicState
) -> None:
    for said in (None, report("accepted", 0, "")):
        seen = shown(row(state, native_id="7"), said)
        assert (seen.state, seen.percent) == (expected, 0)


def test_a_process_that_has_begun_is_shown_before_the_batch_system_tells_of_it() -> None:
    assert told(row(State.QUEUED, native_id="7"), report()) == (PublicState.RUNNING, 40, "60 left")
    begun = report("accepted", 0, "", started=5.0)
    assert told(row(State.QUEUED, native_id="7"), begun) == (PublicState.RUNNING, 0, "Running")


def test_a_batch_job_whose_process_has_yet_to_begin_is_starting() -> None:
    accepted = report("accepted", 0, "PyWPS Request accepted")
    seen = shown(row(State.RUNNING, native_id="7"), accepted)
    assert (seen.state, seen.percent, seen.is_starting) == (PublicState.RUNNING, 0, True)
    assert seen.message == "PyWPS Request accepted; starting as slurm job 7 (w1)"
    for said in (None, report(), *ENDS):  # without a report nobody knows better
        assert not shown(row(State.RUNNING, native_id="7"), said).is_starting
    assert not shown(row(State.QUEUED, native_id="7"), accepted).is_starting


def test_a_paused_job_keeps_its_progress() -> None:
    assert told(row(State.PAUSED), report()) == (PublicState.PAUSED, 40, "Paused")


@pytest.mark.parametrize("said", ENDS)
@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_an_end_that_only_the_report_tells_is_none_yet(state: State, said: Report) -> None:
    seen = shown(row(state), said)
    assert (seen.state, seen.percent) == (PublicState.RUNNING, 99)
    assert (seen.message, seen.is_ending) == (standing.ENDING, True)
    assert not seen.outputs


@pytest.mark.parametrize("cause", sorted(PROVISIONAL))
def test_an_end_whose_reason_the_batch_system_has_to_tell_is_none_yet(cause: str) -> None:
    seen = shown(row(), report("failed", 40, "stopped (SIGTERM)", cause=cause, finished=9.0))
    assert (seen.state, seen.percent) == (PublicState.RUNNING, 40)
    assert seen.message == "stopped (SIGTERM); the reason is being looked up"
    assert not seen.is_ending


@pytest.mark.parametrize("cause", sorted(PROVISIONAL))
def test_a_job_that_was_cut_short_is_not_shown_as_all_but_done(cause: str) -> None:
    said = report("failed", 100, "stopped (SIGTERM)", cause=cause, finished=9.0)
    assert shown(row(), said).percent is None


def test_only_a_success_has_a_hundred_percent() -> None:
    for state in State:
        for said in REPORTS:
            percent = shown(row(state, started=1.0), said).percent
            assert (percent == 100) is (state is State.SUCCEEDED)
            assert (percent is None) is (state in (State.FAILED, State.DISMISSED))
    assert shown(row(), report(percent=-5)).percent == 0


# Another start


def test_what_an_earlier_start_left_is_not_shown_as_this_ones() -> None:
    waits = row(State.QUEUED, native_id="7", started=900.0, attempt=1)
    for said in (report(), report("failed", 40, "stopped", cause="stopped"), ENDS[0], None):
        seen = shown(waits, said)
        assert seen.state is PublicState.QUEUED
        assert seen.message == "The batch system starts it again; waiting as slurm job 7 (w1)"
        assert not seen.is_ending
    assert shown(waits, report()).percent == 40  # it never goes back


@pytest.mark.parametrize("clock", [1.0, 1e12])
def test_another_start_is_told_by_its_number_and_not_by_a_clock(clock: float) -> None:
    waits = row(State.QUEUED, native_id="7", started=900.0, attempt=2, changed=1000.0)
    earlier = report(attempt=1, started=clock)
    later = report(attempt=2, started=clock)
    assert told(waits, earlier)[0] is PublicState.QUEUED
    assert told(waits, later) == (PublicState.RUNNING, 40, "60 left")
    assert told(row(State.RUNNING, started=900.0, attempt=2), earlier)[0] is PublicState.RUNNING


def test_starts_are_counted() -> None:
    assert shown(row(State.QUEUED)).attempts == 0
    assert shown(row(State.RUNNING, started=5.0)).attempts == 1
    assert shown(row(), report(attempt=2)).attempts == 3
    assert shown(row(State.QUEUED, started=5.0, attempt=1), report()).attempts == 1


# Why


def test_who_waits_is_told_for_what() -> None:
    accepted = report("accepted", 0, "PyWPS Request accepted")
    down = "waits: Slurm does not accept the job for now"
    for job, reachable, waits in (
        (row(State.STAGING), True, standing.FETCHING),
        (row(State.ACCEPTED), True, ""),
        (row(State.ACCEPTED), False, standing.CANNOT_ASK),
        (row(State.ACCEPTED, message=down), True, down),
        (row(State.ACCEPTED, message=down), False, f"{down}; {standing.CANNOT_ASK}"),
        (row(State.QUEUED, native_id="7"), True, "waiting as slurm job 7 (w1)"),
        (
            row(State.QUEUED, native_id="7", message=down),
            True,
            f"waiting as slurm job 7 (w1): {down}",
        ),
        (
            row(State.QUEUED, native_id="7", waits="other jobs come first"),
            True,
            "waiting as slurm job 7 (w1): other jobs come first",
        ),
        (
            row(State.QUEUED, native_id="7", waits="other jobs come first", message=down),
            True,
            f"waiting as slurm job 7 (w1): {down}; other jobs come first",
        ),
        (
            row(State.QUEUED, native_id="7"),
            False,
            f"waiting as slurm job 7 (w1); {standing.CANNOT_ASK}",
        ),
    ):
        seen = shown(job, accepted, reachable=reachable)
        assert seen.waits == waits
        assert seen.message == "PyWPS Request accepted" + (f"; {waits}" if waits else "")
        assert seen.reason == ""


def test_a_failure_keeps_its_own_words_and_else_has_the_rows() -> None:
    failed = row(State.FAILED, message=LOST)
    for said, words in (
        (ENDS[1], "no outlet"),
        (None, LOST),
        (report(), LOST),
        (ENDS[0], LOST),
        (report("failed", 40, "stopped", cause="stopped"), LOST),
        (report("failed", 100, "", cause="process"), LOST),
    ):
        seen = shown(failed, said)
        assert (seen.message, seen.reason) == (words, words)


def test_the_cause_of_a_failure_is_the_row_s_and_of_an_old_one_what_its_report_says() -> None:
    for cause in Cause:
        known = shown(row(State.FAILED, message=LOST, cause=cause), report())
        assert known.cause is cause
        assert shown(row(State.DISMISSED, cause=cause), ENDS[1]).cause is Cause.UNKNOWN
    old = row(State.FAILED, message=LOST)
    told = {said: shown(old, report("failed", 100, "", cause=said)).cause for said in CAUSES}
    assert told == CAUSES
    assert shown(old, None).cause is Cause.UNKNOWN
    assert shown(row(), ENDS[1]).cause is Cause.UNKNOWN


def test_a_success_tells_its_own_words_only_if_it_is_its_own() -> None:
    assert shown(row(State.SUCCEEDED), ENDS[0]).message == "done"
    for said in (None, report(), ENDS[1]):
        assert shown(row(State.SUCCEEDED), said).message == "Succeeded"


# What else is known


def test_all_that_a_face_may_show_is_there() -> None:
    job = row(
        State.SUCCEEDED,
        owner="ada",
        access="a",
        sync=True,
        native_id="7_3",
        array_index=3,
        message="m",
        created=1.0,
        submitted=2.0,
        started=3.0,
        finished=4.0,
        changed=5.0,
    )
    used = {"cpu_seconds": 1.5, "peak_memory_mib": 64.0, "elapsed_seconds": 2.0, "other": 1.0}
    said = report("succeeded", 100, "done", host="node7", exit_code=0, usage=used, started=2.9)
    seen = shown(job, said, expires=6.0)
    assert (seen.id, seen.access, seen.process, seen.owner) == ("id", "a", "counts", "ada")
    assert (seen.sync, seen.requested) == (True, ControlRequest.NONE)
    assert (seen.created, seen.submitted, seen.started) == (1.0, 2.0, 3.0)
    assert (seen.finished, seen.changed, seen.expires) == (4.0, 5.0, 6.0)
    assert seen.queued == Queued("slurm", "7_3", "w1", 3)
    assert seen.usage == Usage(1.5, 64.0, 2.0)
    assert (seen.node, seen.attempts, seen.exit_code, seen.signal) == ("node7", 1, 0, None)
    assert (seen.process_message, seen.batch_message) == ("done", "m")


def test_what_is_not_known_yet_is_none_and_not_nought() -> None:
    seen = shown(row(State.ACCEPTED))
    times = (seen.created, seen.submitted, seen.started, seen.finished, seen.changed, seen.expires)
    assert times == (None,) * 6
    assert seen.usage == Usage(None, None, None)
    assert seen.exit_code is None
    assert seen.access == "id"
    begun = shown(row(State.QUEUED), report(started=8.0))
    assert begun.started == 8.0


def test_outputs_are_typed_and_belong_to_a_success_alone() -> None:
    outputs = [
        {
            **{"identifier": "plot", "title": "Plot", "type": "reference", "size": 7},
            **{
                "href": "http://h/outputs/a/plot.png",
                "mimetype": "image/png",
                "encoding": "base64",
            },
        },
        {
            **{"identifier": "mean", "type": "literal", "data": 3.5, "data_type": "float"},
            **{"uom": {"reference": "urn:m", "uom": "metre"}},
        },
        {"identifier": "box", "type": "bbox", "bbox": [1, 2, 3, 4], "crs": "epsg:4326"},
        {
            "identifier": "text",
            "type": "complex",
            "mimetype": "text/plain",
            "schema": "s",
            "data": "",
        },
        {"identifier": "large", "type": "complex"},
    ]
    said = report("succeeded", 100, "done", outputs=outputs)
    assert shown(row(State.SUCCEEDED), said).outputs == (
        Output(
            "plot",
            "Plot",
            "reference",
            "image/png",
            "base64",
            location="http://h/outputs/a/plot.png",
            size=7,
        ),
        Output("mean", kind="literal", data_type="float", unit="urn:m", value=3.5),
        Output("box", kind="bbox", value=[1, 2, 3, 4], crs="epsg:4326"),
        Output("text", kind="complex", mime_type="text/plain", schema="s", value=""),
        Output("large", kind="complex"),
    )
    for state in State:
        if state is not State.SUCCEEDED:
            assert shown(row(state, control=ControlRequest.NONE), said).outputs == ()


def test_a_forged_report_of_outputs_makes_neither_links_nor_errors() -> None:
    forged: list[dict[str, Any]] = [
        {},
        {"identifier": 7},
        {"identifier": "a", "href": "javascript:alert(1)", "type": ["x"], "size": True},
        {"identifier": "b", "href": "http://[::1/x", "uom": ["m"], "size": -1},
        {"identifier": "c", "href": "data:text/html,x", "uom": {"uom": 7}, "mimetype": None},
    ]
    said = report("succeeded", 100, "done", outputs=forged)
    found = shown(row(State.SUCCEEDED), said).outputs
    assert found == (Output("a"), Output("b"), Output("c"))


# What may be done next


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (row(State.ACCEPTED), {Action.DISMISS, Action.PAUSE}),
        (row(State.RUNNING, started=1.0), {Action.DISMISS, Action.PAUSE, Action.LOG}),
        (row(State.RUNNING, control=ControlRequest.PAUSE), {Action.DISMISS, Action.RESUME}),
        (row(State.PAUSED), {Action.DISMISS, Action.RESUME}),
        (row(State.PAUSED, control=ControlRequest.RESUME), {Action.DISMISS, Action.PAUSE}),
        (row(State.RUNNING, control=ControlRequest.DISMISS), set()),
        (row(State.SUCCEEDED, started=1.0), {Action.RESULTS, Action.LOG}),
        (row(State.FAILED, started=1.0), {Action.LOG}),
        (row(State.FAILED), set()),
        (row(State.DISMISSED), set()),
    ],
)
def test_what_may_be_done_next_is_told(job: Job, expected: set[Action]) -> None:
    assert shown(job).actions == expected


def test_a_view_is_plain_data_that_nobody_changes() -> None:
    seen = shown(row(), report())
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.percent = 50  # type: ignore[misc]
