"""TORQUE's dialect against what real commands answered (captured/torque)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
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
from pywps_hpc.dispatch.schedulers.dialects.openpbs import OpenPbsDialect
from pywps_hpc.dispatch.schedulers.dialects.pbs import PbsDialect
from pywps_hpc.dispatch.schedulers.dialects.torque import TorqueDialect

captured = partial(dialects.captured, "torque")
read_submitted, read_control = TorqueDialect().read_submitted, TorqueDialect().read_control


def queue(case: str, *ids: str) -> dict[str, JobStatus]:
    return TorqueDialect().read_queue(ids, *captured(case))


def with_attributes(case: str, job: str, **changes: str | None) -> JobStatus:
    """A captured job with other values of some attributes, or without them."""
    code, out, err = captured(case)
    before, mark, after = out.partition(f"Job Id: {job}\n")
    record, end, rest = after.partition("\n\n")
    for name, value in changes.items():
        key = name.replace("__", ".")
        record = re.sub(rf"(?m)^    {re.escape(key)} = .*\n?", "", record)
        if value is not None:
            record += f"\n    {key} = {value}"
    answer = TorqueDialect().read_queue([], code, before + mark + record + end + rest, err)
    return answer[job]


# --- header


header = partial(dialects.header, TorqueDialect())


def test_header_states_every_resource() -> None:
    lines = header(
        comment="2f1c",
        resources=dialects.every_resource("-l feature=ib", "-W group_list=models"),
    )
    assert lines == [
        "#PBS -N a1",
        "#PBS -o /d/log",
        "#PBS -j oe",
        "#PBS -d /",
        "#PBS -S /bin/bash",
        "#PBS -r n",
        "#PBS -m n",
        "#PBS -l nodes=1:ppn=4:gpus=2,mem=8000mb,walltime=25:01:01",
        "#PBS -q long",
        "#PBS -A climate",
        "#PBS -l feature=ib",
        "#PBS -W group_list=models",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"log": "/d/log\n#PBS -q x"},
        {"log": "/d/log\u2028x"},
        {"log": "/d/a b"},
        {"log": "/d/a,b"},
        {"log": "node7:/d/log"},
        {"log": "/d/'x'"},
        {"name": "a b"},
        {"name": "1a"},
        {"resources": {"queue": "short\n"}},
        {"resources": {"account": "a b"}},
        {"resources": {"extra": ("-q x\n#PBS -q y",)}},
    ],
)
def test_value_that_qsub_would_read_otherwise_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"control characters|not a job name|cannot take"):
        header(**values)


def test_native_specification_says_the_same_without_name_and_log() -> None:
    need = Resources(cpus=2, memory=100, walltime=60, queue="long")
    job = BatchJob("a1", "", "/d/log", comment="2f1c", resources=need)
    assert TorqueDialect().native_specification(job) == (
        "-S /bin/bash -r n -m n -l nodes=1:ppn=2,mem=100mb,walltime=00:01:00 -q long"
    )


# --- submission


def test_script_travels_on_standard_input() -> None:
    question = TorqueDialect().submit(BatchJob("a1", "#!/bin/bash\n", "/d/log"))
    assert (question.argv, question.stdin) == (("qsub",), "#!/bin/bash\n")


def test_id_is_the_last_line_of_the_answer() -> None:
    banner = "*** Welcome ***\n12.banner is not it\n"
    assert read_submitted(0, f"{banner}1687.vm\n", "") == "1687.vm"
    assert read_submitted(0, "7.pbs-1.cluster.example\n", "") == "7.pbs-1.cluster.example"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown_queue", "Unknown queue MSG=requested queue not found"),
        ("bad_resource", "Unknown resource type  Resource_List.nosuchres"),
        ("too_many_nodes", "cannot locate feasible nodes"),
    ],
)
def test_refusal_carries_torques_words(case: str, words: str) -> None:
    with pytest.raises(SubmissionRefused, match=words) as refusal:
        read_submitted(*captured(f"qsub_{case}"))
    assert str(refusal.value).startswith("TORQUE refused the job: ")
    assert "submit error" not in str(refusal.value)


@pytest.mark.parametrize(
    "words",
    [
        "Maximum number of jobs already in queue for user MSG=total number of current user's jobs",
        "Queue is not enabled MSG=queue is disabled",
    ],
)
def test_limit_that_will_pass_postpones(words: str) -> None:
    with pytest.raises(SubmissionPostponed):
        read_submitted(228, "", f"qsub: submit error ({words})\n")


@pytest.mark.parametrize(
    "answer", [(0, "", ""), (0, "1687\n", ""), (0, "qsub: waiting\n", ""), (1, "", "")]
)
def test_answer_without_an_id_or_a_reason_is_none(answer: tuple[int, str, str]) -> None:
    with pytest.raises(SchedulerUnavailable):
        read_submitted(*answer)


# --- the queue


def test_states_of_the_queue() -> None:
    answer = queue("qstat_f1_states")
    assert {job: (answer[job].phase, answer[job].detail) for job in ("1689.vm", "1690.vm")} == {
        "1689.vm": (Phase.RUNNING, "R"),
        "1690.vm": (Phase.HELD, "H (Hold_Types = u)"),
    }


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        *((state, Phase.QUEUED) for state in "QWT"),
        *((state, Phase.RUNNING) for state in "RE"),
        ("H", Phase.HELD),
        ("S", Phase.SUSPENDED),
        ("C", Phase.FINISHED),
    ],
)
def test_every_state_of_the_manual_is_known(state: str, phase: Phase) -> None:
    assert with_attributes("qstat_f1_suspended", "1689.vm", job_state=state).phase is phase


def test_unknown_state_counts_as_running_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    code, out, err = captured("qstat_f1_suspended")
    dialect = TorqueDialect()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            answer = dialect.read_queue([], code, out.replace("_state = R", "_state = X"), err)
            assert answer["1689.vm"].phase is Phase.RUNNING
    assert caplog.text.count("'X'") == 1


def test_reason_for_waiting_is_told() -> None:
    words = "Not Running: Not enough of the right type of nodes are available"
    status = with_attributes("qstat_f1_states", "1691.vm", job_state="Q")
    assert status.detail == f"Q ({words})"


@pytest.mark.parametrize(
    ("exit_status", "outcome"),
    [
        *((code, Outcome.COULD_NOT_START) for code in (-1, -2, -7, -8, -9, -13, -14)),
        *((code, Outcome.NODE_FAILURE) for code in (-3, -4, -5, -6)),
        (-10, Outcome.MEMORY_LIMIT),
        *((code, Outcome.TIME_LIMIT) for code in (-11, -12)),
        *((code, Outcome.CANCELLED) for code in (271, 265)),
        (-99, Outcome.UNKNOWN),
    ],
)
def test_exit_statuses_of_the_manual(exit_status: int, outcome: Outcome) -> None:
    status = with_attributes("qstat_completed_one", "1687.vm", exit_status=str(exit_status))
    assert (status.outcome, status.exit_code, status.signal) == (outcome, None, None)
    assert status.detail == f"C, exit_status {exit_status}"


@pytest.mark.parametrize(("exit_status", "signal"), [(256 + 11, 11), (128 + 11, 11)])
def test_other_signals_are_the_jobs_own(exit_status: int, signal: int) -> None:
    status = with_attributes("qstat_completed_one", "1687.vm", exit_status=str(exit_status))
    assert (status.outcome, status.signal) == (Outcome.SIGNALLED, signal)


def test_exit_code_that_is_no_signal_is_a_code() -> None:
    status = with_attributes("qstat_completed_one", "1687.vm", exit_status="255")
    assert (status.outcome, status.exit_code) == (Outcome.EXITED, 255)


@pytest.mark.parametrize("exit_status", ["271", "265"])
def test_limit_that_mom_enforced_without_saying_so(exit_status: str) -> None:
    ended = {"case": "qstat_completed_one", "job": "1687.vm", "exit_status": exit_status}
    late = with_attributes(**ended, resources_used__walltime="00:05:03")
    assert late.outcome is Outcome.TIME_LIMIT


@pytest.mark.parametrize("exit_status", ["271", "265"])
def test_deletion_while_the_sum_of_memory_is_beyond_the_limit_of_each_process_is_a_deletion(
    exit_status: str,
) -> None:
    ended = {"case": "qstat_completed_one", "job": "1687.vm", "exit_status": exit_status}
    big = with_attributes(**ended, resources_used__mem="2100000kb", Resource_List__mem="2gb")
    assert big.outcome is Outcome.CANCELLED


def test_restarts_are_counted() -> None:
    assert with_attributes("qstat_f1_suspended", "1689.vm", start_count="3").restarts == 2
    assert with_attributes("qstat_f1_suspended", "1689.vm", start_count=None).restarts == 0


def test_tasks_of_an_array_are_jobs_of_their_own() -> None:
    answer = queue("qstat_f1_array", "1701[2].vm")
    assert {"1701[1].vm", "1701[2].vm", "1701[3].vm"} <= answer.keys()
    assert answer["1701[2].vm"].exit_code == 0


def test_unknown_job_is_missing_and_spoils_nothing() -> None:
    answer = queue("qstat_mixed_known_unknown", "1687.vm", "999999.vm")
    assert list(answer) == ["1687.vm"]
    assert queue("qstat_unknown", "999999.vm") == {}


def test_job_that_is_neither_described_nor_unknown_makes_the_answer_none() -> None:
    with pytest.raises(SchedulerUnavailable, match=r"lacks 1700\.vm"):
        queue("qstat_mixed_known_unknown", "1687.vm", "999999.vm", "1700.vm")
    with pytest.raises(SchedulerUnavailable, match=r"lacks 1687\.vm"):
        TorqueDialect().read_queue(["1687.vm"], 0, "", "")


def test_jobs_are_asked_about_by_their_ids() -> None:
    question = TorqueDialect().poll(["1687.vm", "1701[2].vm"])
    assert question.argv == ("qstat", "-f", "-1", "1687.vm", "1701[2].vm")


ONE = captured("qstat_completed_one")[1]


@given(st.integers(min_value=0, max_value=len(ONE) - 1))
def test_answer_cut_off_anywhere_is_no_answer(length: int) -> None:
    with pytest.raises(SchedulerUnavailable):
        TorqueDialect().read_queue(["1687.vm"], 0, ONE[:length], "")


def test_exit_status_that_is_no_number_is_no_answer() -> None:
    with pytest.raises(SchedulerUnavailable, match="exit status"):
        with_attributes("qstat_completed_one", "1687.vm", exit_status="2x")


def test_banner_before_the_answer_does_not_matter() -> None:
    code, out, err = captured("qstat_mixed_known_unknown")
    ids = ["1687.vm", "999999.vm"]
    noisy = TorqueDialect().read_queue(ids, code, f"*** Welcome ***\n12\n\n{out}", f"Have\n{err}")
    assert noisy == TorqueDialect().read_queue(ids, code, out, err)


# --- lookup by name


def test_name_is_looked_up_among_all_jobs_that_the_server_lists() -> None:
    (question,) = TorqueDialect().find("wexit3")
    assert question.argv == ("qstat", "-f", "-1", "-t")
    assert list(question.read(*captured("qstat_f1_states"))) == ["1645.vm", "1688.vm"]


def test_name_that_nobody_has_is_not_found() -> None:
    (question,) = TorqueDialect().find("wexit")
    assert question.read(*captured("qstat_f1_states")) == {}
    assert question.read(0, "", "") == {}


# --- control


@pytest.mark.parametrize(
    ("action", "command"),
    [
        (Action.CANCEL, "qdel 1.vm 2.vm"),
        (Action.HOLD, "qhold 1.vm 2.vm"),
        (Action.RELEASE, "qrls 1.vm 2.vm"),
        (Action.SUSPEND, "qsig -s suspend 1.vm 2.vm"),
        (Action.RESUME, "qsig -s resume 1.vm 2.vm"),
    ],
)
def test_commands(action: Action, command: str) -> None:
    (question,) = TorqueDialect().control(action, ["1.vm", "2.vm"])
    assert " ".join(question.argv) == command


@pytest.mark.parametrize("case", ["qsig_suspend", "qsig_resume", "qrerun_owner"])
def test_what_this_account_may_not_do_says_who_may(case: str) -> None:
    with pytest.raises(NotPermitted, match=r"1689\.vm \(an operator of the server may"):
        read_control(*captured(case))


def test_one_refusal_among_jobs_that_are_over_is_not_overlooked() -> None:
    refused, unknown = captured("qsig_suspend")[2], captured("qdel_unknown")[2]
    with pytest.raises(NotPermitted) as refusal:
        read_control(153, "", refused + unknown)
    assert "999999" not in str(refusal.value)


def test_any_other_failure_is_an_error() -> None:
    with pytest.raises(SchedulerError, match="Unknown/illegal signal name"):
        read_control(166, "", "qsig: Unknown/illegal signal name 1689.vm\n")
    with pytest.raises(SchedulerError, match="exit status 1"):
        read_control(1, "", "")


@pytest.mark.parametrize("dialect", [TorqueDialect(), OpenPbsDialect()])
@pytest.mark.parametrize("command", ["qdel", "qsig"])
def test_server_that_does_not_reach_one_node_has_answered(
    dialect: PbsDialect, command: str
) -> None:
    """Measured: so it says for as long as that node's MOM is dead; all else goes on."""
    words = f"{command}: Server could not connect to MOM 5.trq1"
    assert dialect.messages.cannot_ask.search(words) is None
    with pytest.raises(SchedulerError, match="could not connect to MOM") as failure:
        dialect.read_control(224, "", words)
    assert not isinstance(failure.value, SchedulerUnavailable)


@pytest.mark.parametrize(("hold", "released"), [("u", True), ("us", True), ("s", False)])
def test_hold_of_the_administration_is_not_said_to_be_released(hold: str, released: bool) -> None:
    status = with_attributes("qstat_f1_states", "1690.vm", Hold_Types=hold)
    if released:
        assert TorqueDialect().control(Action.RELEASE, ["1690.vm"], status.detail)
    else:
        with pytest.raises(NotPermitted, match="only an operator"):
            TorqueDialect().control(Action.RELEASE, ["1690.vm"], status.detail)


# --- MOM's words in the log


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("walltime 73 exceeded limit 60", Outcome.TIME_LIMIT),
        ("mem job total 417000 kb exceeded limit 61440 kb", Outcome.MEMORY_LIMIT),
        ("vmem job total 417000 kb exceeded limit 61440 kb", Outcome.MEMORY_LIMIT),
    ],
)
def test_reason_in_the_log(words: str, outcome: Outcome) -> None:
    assert TorqueDialect().explain(f"step 3\n=>> PBS: job killed: {words}\n") is outcome


def test_log_without_a_word_of_mom_explains_nothing() -> None:
    assert TorqueDialect().explain("the walltime 73 exceeded limit 60\n") is None


# --- nobody answers


@pytest.mark.parametrize("command", ["qstat", "qsub", "qdel"])
def test_server_that_is_down_is_recognized(command: str) -> None:
    code, out, err = captured(f"{command}_server_down")
    assert code == 111
    assert TorqueDialect.messages.cannot_ask.search(f"{out}\n{err}")


@pytest.mark.parametrize(
    "case",
    [
        p.stem
        for p in sorted((dialects.CAPTURED / "torque").glob("*.rc"))
        if not p.stem.endswith("_server_down")
    ],
)
def test_answer_of_a_server_that_is_up_is_not_taken_for_silence(case: str) -> None:
    code, out, err = captured(case)
    assert code in TorqueDialect.answers or not TorqueDialect.messages.cannot_ask.search(
        f"{out}\n{err}"
    )


def test_stray_words_beside_an_answer_are_no_outage() -> None:
    """Measured: with nine unknown ids qstat names servers that do not exist."""
    code, out, err = captured("qstat_nine_unknown")
    assert TorqueDialect().messages.cannot_ask.search(err)
    assert code in TorqueDialect().answers
    known = [f"{number}.trq1" for number in range(90001, 90009)]
    assert TorqueDialect().poll(known).read(code, out, err) == {}
    with pytest.raises(SchedulerUnavailable, match=r"lacks 90009\.trq1"):
        TorqueDialect().poll([*known, "90009.trq1"]).read(code, out, err)
    read_control(code, "", err.replace("qstat:", "qdel:"))  # all of them are gone


def test_no_question_is_about_more_ids_than_the_commands_bear() -> None:
    assert {
        TorqueDialect().poll_chunk,
        TorqueDialect().recent_chunk,
        TorqueDialect().control_chunk,
    } == {8}


# --- every captured case

OVER = {
    **dict.fromkeys(("1644", "1656", "1657", "1687", "1699", "1700"), "exited 0"),
    **dict.fromkeys(("1645", "1688"), "exited 3"),
    **dict.fromkeys(("1646", "1647", "1648", "1650", "1658[]", "1693"), "cancelled"),
    **dict.fromkeys(("1651", "1694"), "signalled 9"),
    **dict.fromkeys(("1652", "1695"), "signalled 15"),
    **{f"{array}[{index}]": "exited 0" for array in (1658, 1701) for index in (1, 2, 3)},
    "1649": "time limit",
}
LATE = ("1646", "1647", "1648", "1650", "1687", "1688", "1693", "1694", "1695", "1699", "1700")
ELEMENTS = tuple(job for job in OVER if job.endswith(("[1]", "[2]", "[3]")))
DELETED = dict.fromkeys(("1689", "1690", "1691"), "cancelled")
#: Case -> exit status and what is read of each job, the ended ones by :data:`OVER`.
DESCRIBED: dict[str, tuple[int, tuple[str, ...], dict[str, str]]] = {
    "qstat_completed_one": (0, ("1687",), {}),
    "qstat_mixed_known_unknown": (153, ("1687",), {}),
    "qstat_unknown": (153, (), {}),
    "qstat_f1_array": (0, (*LATE, *ELEMENTS), DELETED | {"1692": "time limit"}),
    "qstat_f1_completed": (
        0,
        (*LATE, "1658[]"),
        {"1689": "running", "1690": "held", "1691": "queued", "1692": "time limit"},
    ),
    "qstat_f1_states": (
        0,
        tuple(job for job in OVER if job not in ELEMENTS),
        {"1689": "running", "1690": "held", "1691": "held", "1692": "running"},
    ),
    # Both were refused: see qsig_suspend, qsig_resume.
    "qstat_f1_suspended": (0, (), {"1689": "running"}),
    "qstat_f1_resumed": (0, (), {"1689": "running"}),
}
#: Of these only the standard output was kept.
PRINTED = {
    "qstat_f1_array_element_deleted_running": {"78[1].trq1": "cancelled"},
    "qstat_f1_qdel_sum_of_memory_over": {"168.trq1": "cancelled"},
}
#: Case -> exit status and the id of the job, or why it was not taken.
SUBMITTED = {
    "qsub_ok": (0, "1687.vm"),
    "qsub_array": (0, "1701[].vm"),
    "qsub_long_name": (0, "1699.vm"),
    "qsub_bad_name": (0, "1700.vm"),
    "qsub_bad_resource": (189, "refused"),
    "qsub_too_many_nodes": (190, "refused"),
    "qsub_unknown_queue": (172, "refused"),
    "qsub_server_down": (111, "silence"),
}
CONTROLLED = {
    **dict.fromkeys(("qdel_running", "qdel_rest", "qhold_queued", "qrls_queued"), (0, "done")),
    "qdel_completed": (170, "done"),
    "qdel_unknown": (153, "done"),
    **dict.fromkeys(("qrerun_owner", "qsig_resume", "qsig_suspend"), (159, "forbidden")),
    "qdel_server_down": (111, "silence"),
}
#: Case -> exit status, and what of it the documents or the stand-in rely on.
FACTS = {
    "pbsnodes": (0, "state = free"),
    "pbsnodes_x": (0, "<state>free</state>"),
    "qstat_plain": (0, " 0 R batch"),
    "qstat_array_plain": (0, "1701[1].vm "),
    "qstat_x_completed": (0, "<job_state>C</job_state>"),
    "qstat_x_states": (0, "<job_state>R</job_state>"),
    "qstat_version": (0, "Version: "),
    "qstat_server_down": (111, "cannot connect to server"),
    "qstat_nine_unknown": (153, "Can not resolve name for server"),
}


@pytest.mark.parametrize("case", DESCRIBED)
def test_job_that_qstat_describes(case: str) -> None:
    code, over, others = DESCRIBED[case]
    assert captured(case)[0] == code
    answer = TorqueDialect().described(*captured(case))
    expected = {job: OVER[job] for job in over} | others
    assert {job.removesuffix(".vm"): dialects.told(one) for job, one in answer.items()} == expected


@pytest.mark.parametrize("case", PRINTED)
def test_job_of_which_only_the_output_was_kept(case: str) -> None:
    text = (dialects.CAPTURED / "torque" / f"{case}.stdout").read_text()
    answer = TorqueDialect().described(0, text, "")
    assert {job: dialects.told(status) for job, status in answer.items()} == PRINTED[case]


def said(read: Callable[[int, str, str], str | None], case: str) -> str:
    """What became of an order, in a word, or the id of a job."""
    try:
        return read(*captured(case)) or "done"
    except SubmissionRefused:
        return "refused"
    except NotPermitted:
        return "forbidden"
    except SchedulerError:
        return "silence" if TorqueDialect.messages.cannot_ask.search(captured(case)[2]) else "?"


@pytest.mark.parametrize("case", SUBMITTED)
def test_submission(case: str) -> None:
    code, what = SUBMITTED[case]
    assert captured(case)[0] == code
    assert said(read_submitted, case) == what


@pytest.mark.parametrize("case", CONTROLLED)
def test_order(case: str) -> None:
    code, what = CONTROLLED[case]
    assert captured(case)[0] == code
    assert said(read_control, case) == what


@pytest.mark.parametrize("case", FACTS)
def test_fact_that_was_captured(case: str) -> None:
    code, out, err = captured(case)
    assert code == FACTS[case][0]
    assert FACTS[case][1] in out + err


def test_every_captured_case_is_read_by_a_test() -> None:
    read_here = {*DESCRIBED, *PRINTED, *SUBMITTED, *CONTROLLED, *FACTS}
    assert {path.stem for path in (dialects.CAPTURED / "torque").glob("*.stdout")} == read_here
