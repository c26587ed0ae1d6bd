"""OpenPBS's dialect against what real commands answered (captured/openpbs): every case of it."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialects
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
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
from pywps_hpc.dispatch.schedulers.states import openpbs, pbs

FOLDER = dialects.CAPTURED / "openpbs"
captured = partial(dialects.captured, "openpbs")
DIALECT = OpenPbsDialect()
header = partial(dialects.header, DIALECT)


def read(case: str) -> dict[str, str]:
    """What the dialect reads in qstat's answer, by job without its server."""
    answer = DIALECT.described(*captured(case))
    return {job.removesuffix(".pbs1"): dialects.told(status) for job, status in answer.items()}


# --- qstat, as the dialect asks it

#: Case -> what ``qstat -x -f`` says, where it is asked about one job or about elements.
ENDS = {
    "ok": {"37": "exited 0"},
    "exit37": {"38": "exited 37"},
    "own_kill": {"39": "signalled 9"},
    "own_segv": {"41": "signalled 11"},
    "own_term": {"40": "signalled 15"},
    "walltime": {"43": "time limit"},
    "walltime_ignores_term": {"44": "time limit"},
    "walltime_trap": {"42": "time limit"},
    "memory": {"60": "memory limit"},
    "vmem": {"62": "exited 0"},  # vmem was not enforced
    "deleted_held": {"46": "cancelled"},
    "deleted_ignores_term": {"53": "cancelled"},
    "deleted_queued": {"49": "cancelled"},
    "deleted_running_owner": {"50": "cancelled"},
    "deleted_running_root": {"51": "cancelled"},
    "deleted_suspended": {"54": "cancelled"},
    "deleted_trap": {"52": "cancelled"},
    "array_deleted_elements": dict.fromkeys(("59[1]", "59[2]", "59[3]", "59[4]"), "cancelled"),
    "array_deleted_parent": {"59[]": "cancelled"},
    "array_finished_element": {"56[2]": "exited 2"},
    "array_finished_elements": {"56[1]": "exited 1", "56[2]": "exited 2", "56[3]": "exited 3"},
    "array_finished_parent": {"56[]": "exited 1"},
    "array_over_with_an_element_that_never_ran": {
        "1061[1]": "exited 0",
        "1061[2]": "exited 0",
        "1061[3]": "cancelled",  # it shows the array's Exit_status = 0
    },
}
ALIVE = {
    "held": {"46": "held"},
    "held_by_qhold": {"49": "held"},
    "held_o": {"49": "held"},
    "held_s": {"49": "held"},
    "held_s_after_owner_qrls": {"49": "held"},
    "never": {"48": "queued hopeless"},
    "pmem": {"61": "running"},
    "queued_no_room": {"49": "queued"},
    "waiting_until": {"47": "queued"},
    "running": {"45": "running"},
    "running_held": {"45": "running"},
    "sigstop": {"45": "running"},
    "suspended": {"45": "suspended"},
    "resumed": {"45": "suspended"},  # until there is room for it
    "array_element_after_qhold": {"59[1]": "queued"},
    "array_element_deleted_running": {"59[1]": "cancelled"},
    "array_element_deleted_waiting": {"59[3]": "cancelled", "59[1]": "queued"},
    "array_element_suspended": {"59[2]": "suspended"},
    "array_held": {"59[]": "held"},
    "array_held_element": {"59[1]": "held"},
    "array_running_element": {"56[2]": "running"},
    "array_running_elements": {"56[1]": "exited 1", "56[2]": "running", "56[3]": "exited 3"},
    "array_running_parent": {"56[]": "running"},
    "array_started": {"59[]": "running"},
    "array_waiting_parent": {"59[]": "queued"},
    "array_waiting_element_deleted": {"1061[3]": "cancelled"},
}
#: The same with ``-t``: the elements, too.
WITH_ELEMENTS = {
    "array_deleted_parent": ENDS["array_deleted_elements"],
    "array_finished_parent": ENDS["array_finished_elements"],
    "array_held": dict.fromkeys(("59[1]", "59[2]", "59[4]"), "held") | {"59[3]": "cancelled"},
    "array_running_parent": ALIVE["array_running_elements"],
    "array_started": dict.fromkeys(("59[1]", "59[2]", "59[4]"), "running") | {"59[3]": "cancelled"},
    "array_waiting_parent": dict.fromkeys(("59[1]", "59[2]", "59[3]", "59[4]"), "queued"),
}
#: Logs: each took a way of its own, and what became of the job.
LOGS = [
    *("Ro", "app", "colon", "forbidden", "hard", "k", "kapp", "klink", "koe", "link", "missing"),
    *("null", "plain", "sandbox", "umask"),
]
OTHER = {
    "qstat_xf_mixed_known_unknown": {"45": "running", "37": "exited 0"},
    "qstat_xf_purged": {},
    "qstat_xf_unknown": {},
    "qstat_f_array_element_unknown_index": {},
    "qstat_f_empty": {},
    "qstat_f_unknown": {},
    "qstat_f_finished_without_x": {"37": "unknown", "45": "running"},
    "qstat_f_mixed_known_unknown": {"45": "running", "46": "held"},
    "qstat_f_queue_stopped": {
        **dict.fromkeys(
            ["6", "7", "18", "19[]", "20[]", "22[]", "23[]", "32"], "queued maintenance"
        ),
        **dict.fromkeys(["8", "9", "11", "12", "13", "14", "16", "17"], "running"),
        **dict.fromkeys(["25", "26"], "queued"),
        "24": "held",
    },
    "qstat_xf_log_logkmissing": {"71": "could not start hopeless restarts 20"},
    "special_qstat_f": {"2049": "held"},
    "special_qstat_fw": {"2049": "held"},
    "qstat_bare_number": {"37": "exited 0"},
    "mom_killed_qstat_xf": {"81": "running", "82": "running"},  # nobody knows better
    "mom_killed_after_30s": {"81": "running", "82": "running"},
    "mom_killed_queued": {"83": "queued"},
    "mom_restarted_qstat_xf": {"81": "node failure", "82": "exited 0 restarts 1", "83": "exited 0"},
    "server_restarted_qstat": {"84": "exited 4"},
    "nohistory_qstat_xf_ended": {},
    "nohistory_qstat_xf_mixed": {},
    "nohistory_qstat_xf_running": {},
    "nohistory_qstat_xf_unknown": {},
    "nohistory_qstat_f_ended": {},
}
UNKNOWN, OVER = 153, 35
CODES = {
    **dict.fromkeys(
        [
            *("qstat_xf_mixed_known_unknown", "qstat_xf_purged", "qstat_xf_unknown"),
            *("qstat_f_array_element_unknown_index", "qstat_f_unknown", "nohistory_qstat_f_ended"),
            "qstat_f_mixed_known_unknown",
        ],
        UNKNOWN,
    ),
    "qstat_f_finished_without_x": OVER,
}


def exists(case: str) -> bool:
    return (FOLDER / f"{case}.rc").exists()


HISTORY = {
    f"qstat_{kind}_{name}": jobs | (WITH_ELEMENTS.get(name, {}) if kind == "xft" else {})
    for name, jobs in {**ENDS, **ALIVE}.items()
    for kind in ("xf", "xft")
    if exists(f"qstat_{kind}_{name}")
}
QUEUE = {
    f"qstat_{kind}_{name}": jobs | (WITH_ELEMENTS.get(name, {}) if kind == "ft" else {})
    for name, jobs in ALIVE.items()
    for kind in ("f", "fw", "ft")
    if exists(f"qstat_{kind}_{name}")
}
NOT_WITHOUT_X = {
    f"qstat_{kind}_{name}": dict.fromkeys(jobs, "unknown")
    for name, jobs in ENDS.items()
    for kind in ("f", "fw", "ft")
    if exists(f"qstat_{kind}_{name}")
}
LOGGED = {f"qstat_xf_log_log{name}" for name in LOGS}


@pytest.mark.parametrize("case", [*HISTORY, *QUEUE])
def test_job_that_qstat_describes(case: str) -> None:
    assert captured(case)[0] == 0
    assert read(case) == (HISTORY | QUEUE)[case]


@pytest.mark.parametrize("case", NOT_WITHOUT_X)
def test_job_that_is_over_is_said_to_be_no_more_than_that(case: str) -> None:
    assert captured(case)[0] == OVER
    assert read(case) == NOT_WITHOUT_X[case]


@pytest.mark.parametrize("case", OTHER)
def test_other_answers_of_qstat(case: str) -> None:
    assert captured(case)[0] == CODES.get(case, 0)
    assert read(case) == OTHER[case]


@pytest.mark.parametrize("case", sorted(LOGGED))
def test_job_whose_log_could_be_written_or_need_not_be_is_over(case: str) -> None:
    """Without -k a log that cannot be delivered shows by Stageout_status = 0 only."""
    code, out, _ = captured(case)
    assert code == 0
    assert list(read(case).values()) == ["exited 0"]
    undelivered = case.endswith(("logforbidden", "logmissing"))
    assert ("Stageout_status = 0\n" in out) is undelivered


@pytest.mark.parametrize("name", [*LOGS, "kmissing"])
def test_log_is_written_where_it_belongs_while_the_job_runs_with_our_option(name: str) -> None:
    text = (FOLDER / f"log_log{name}.stdout").read_text()
    first, _, rest = text.partition("\n")
    state = "H" if name == "kmissing" else "F"
    assert first.endswith(f"; state {state}")
    during = rest.partition("# after")[0]
    live = "-k oed" in first and state == "F"
    assert live is (name in ("k", "kapp", "klink"))
    if name == "k":
        assert re.search(r"^-rw\S+ 1 wps +wps +18 .*/logk$", during, re.MULTILINE)


# --- the other formats, which say the same


def states(case: str) -> dict[str, str]:
    """Job -> letter of its state, in any format."""
    out = captured(case)[1]
    if out.lstrip().startswith("{"):
        jobs = json.loads(out, strict=False).get("Jobs", {})
        return {job: facts["job_state"] for job, facts in jobs.items()}
    if "|job_state=" in out:
        return dict(re.findall(r"^Job Id: ([^|]+)\|.*?\|job_state=(\w)\|", out, re.MULTILINE))
    if "\n    job_state" in out:
        return dict(re.findall(r"^Job Id: (\S+)\n(?:.*\n)*?    job_state = (\w)", out, re.M))
    return dict(re.findall(r"^(\S+)\s+\S+\s+\S+\s+\S+ ([A-Z]) \S+\s*$", out, re.MULTILINE))


FORMATS = {
    f"qstat_{kind}{name}": name
    for name in {**ENDS, **ALIVE}
    for kind in ("", "t_", "dsv_", "f_json_", "xtf_json_")
    if exists(f"qstat_{kind}{name}")
}


@pytest.mark.parametrize("case", FORMATS)
def test_every_format_has_the_same_states(case: str) -> None:
    name = FORMATS[case]
    whole = "qstat_xft_" if exists(f"qstat_xft_{name}") else "qstat_xf_"
    expected, found = states(whole + name), states(case)
    code, _, err = captured(case)
    if code == OVER:
        assert not found
        assert err.count("Job has finished") == len(ENDS[name])
    else:
        assert code == 0
        assert found
        assert found.items() <= expected.items()


#: Cases in formats that the dialect does not ask for -> exit status, and states.
OTHER_FORMATS = {
    "qstat_f_json_mixed": (UNKNOWN, {"45": "R"}),  # what stands after an unknown id is left out
    "qstat_f_json_empty": (0, {}),
    "qstat_ft_json_array_running": (0, {"56[]": "B", "56[1]": "X", "56[2]": "R", "56[3]": "X"}),
    "special_qstat_dsv": (0, {"2049": "H"}),
    "special_qstat_json": (0, {"2049": "H"}),
    "qstat_empty": (0, {}),
    "nohistory_qstat_x": (0, {}),
    "nohistory_qstat_plain_ended": (UNKNOWN, {}),
}


@pytest.mark.parametrize("case", OTHER_FORMATS)
def test_other_answers_in_other_formats(case: str) -> None:
    code, jobs = OTHER_FORMATS[case]
    assert captured(case)[0] == code
    assert {job.removesuffix(".pbs1"): letter for job, letter in states(case).items()} == jobs


# --- polling


def test_jobs_are_asked_about_by_their_ids_and_those_that_are_over_once_more() -> None:
    ids = ["37.pbs1", "56[2].pbs1"]
    assert DIALECT.poll(ids).argv == ("qstat", "-f", "-w", *ids)
    assert DIALECT.recent(ids).argv == ("qstat", "-x", "-f", "-w", *ids)
    assert DIALECT.history(ids) is None


def test_name_of_a_job_and_of_an_arrays_element_is_told() -> None:
    assert DIALECT.described(*captured("qstat_fw_running"))["45.pbs1"].name == "trun"
    assert DIALECT.described(*captured("qstat_f_array_running_element"))["56[2].pbs1"].name == (
        "tarrenv"
    )


def test_detail_tells_why_a_job_waits_whatever_the_width() -> None:
    for kind in ("f", "fw", "xf"):
        status = DIALECT.described(*captured(f"qstat_{kind}_never"))["48.pbs1"]
        why = "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8)"
        assert status.detail == f"Q ({why})"


@pytest.mark.parametrize(
    "case", ["nohistory_qstat_xf_ended", "nohistory_qstat_xf_running", "nohistory_qstat_xf_unknown"]
)
def test_history_that_is_off_knows_nothing_of_any_job(case: str) -> None:
    job = captured(case)[2].split()[-1]
    assert DIALECT.recent([job]).read(*captured(case)) == {}


def test_job_that_is_neither_described_nor_unknown_nor_over_makes_the_answer_none() -> None:
    answer = captured("qstat_f_finished_without_x")
    assert len(DIALECT.poll(["37.pbs1", "45.pbs1"]).read(*answer)) == 2
    with pytest.raises(SchedulerUnavailable, match=r"lacks 46\.pbs1"):
        DIALECT.poll(["37.pbs1", "45.pbs1", "46.pbs1"]).read(*answer)
    with pytest.raises(SchedulerUnavailable, match=r"lacks 1\.pbs1"):
        DIALECT.poll(["1.pbs1"]).read(0, "", "")


@pytest.mark.parametrize(("case", "code"), [("qstat_bad_id", 170), ("qstat_unknown_server", 1)])
def test_question_that_qstat_does_not_understand_tells_nothing(case: str, code: int) -> None:
    assert captured(case)[0] == code
    with pytest.raises(SchedulerUnavailable):
        DIALECT.poll(["hello"]).read(*captured(case))


ONE = captured("qstat_fw_running")[1]


@given(st.integers(min_value=0, max_value=len(ONE) - 1))
def test_answer_cut_off_anywhere_is_no_answer(length: int) -> None:
    with pytest.raises(SchedulerUnavailable):
        DIALECT.poll(["45.pbs1"]).read(0, ONE[:length], "")


def ended(**changes: str | None) -> str:
    """A job that is over, with other values of some attributes."""
    record: dict[str, Any] = {"job_state": "F", "run_count": "1", "substate": "93"} | changes
    status = openpbs.status({key: value for key, value in record.items() if value is not None})
    assert status is not None
    return dialects.told(status)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        *((code, "could not start") for code in (-1, -2, -3, -7, -10, -13, -16, -17, -21, -22)),
        *((code, "could not start") for code in (-23, -30)),
        *((code, "node failure") for code in (-4, -5, -6, -14, -20)),
        *((code, "cancelled") for code in (-19, -24, -25, 271, 265)),
        *((code, "memory limit") for code in (-26, -27)),
        *((code, "time limit") for code in (-28, -29)),
        *((code, "unknown") for code in (-11, -12, -15, -18, -99)),
        (256 + 11, "signalled 11"),
        (128 + 11, "signalled 11"),
        (255, "exited 255"),
    ],
)
def test_exit_statuses_of_the_header_file(code: int, outcome: str) -> None:
    assert ended(Exit_status=str(code)) == outcome


def test_deletion_counts_more_than_the_exit_status() -> None:
    for code in ("0", "1", "-29", "271", None):
        assert ended(substate="91", Exit_status=code) == "cancelled"
    assert ended(Exit_status=None, run_count=None) == "cancelled"  # never started


def test_exit_status_of_a_job_that_is_not_over_is_not_its_end() -> None:
    assert ended(job_state="R", Exit_status="0") == "running"


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        *((state, Phase.QUEUED) for state in "QWT"),
        *((state, Phase.RUNNING) for state in "REBM"),
        ("H", Phase.HELD),
        *((state, Phase.SUSPENDED) for state in "SU"),
        *((state, Phase.FINISHED) for state in "FX"),
    ],
)
def test_every_state_of_the_manual_is_known(state: str, phase: Phase) -> None:
    status = openpbs.status({"job_state": state})
    assert status is not None
    assert status.phase is phase


# --- lookup by name

SELECTED = {
    "qselect_N": ["45.pbs1"],
    "qselect_N_unknown": [],
    "qselect_T_N": [],
    "qselect_T_array": ["56[1].pbs1", "56[2].pbs1", "56[3].pbs1"],
    "qselect_array": ["56[].pbs1"],
    "qselect_u": ["45.pbs1", "48.pbs1"],
    "qselect_xN": ["37.pbs1"],
    "qselect_xTN_unknown": [],
    "qselect_xT_array": ["56[1].pbs1", "56[2].pbs1", "56[3].pbs1"],
    "qselect_xT_array_finished": ["56[1].pbs1", "56[2].pbs1", "56[3].pbs1"],
    "after_hang_qselect": ["85.pbs1"],
    "nohistory_qselect_N": ["80.pbs1"],
    "nohistory_qselect_xN": [],
    "nohistory_qselect_xTN": [],
    "server_restarted_qselect": [],
}


@pytest.mark.parametrize("case", SELECTED)
def test_ids_of_a_name(case: str) -> None:
    assert captured(case)[0] == 0
    for question in DIALECT.find("w0"):
        answer = question.read(*captured(case))
        assert list(answer) == SELECTED[case]
        assert {status.name for status in answer.values()} <= {"w0"}


def test_queue_is_asked_for_a_name_first_then_the_history() -> None:
    assert [question.argv for question in DIALECT.find("w0")] == [
        ("qselect", "-T", "-N", "w0"),
        ("qselect", "-x", "-T", "-N", "w0"),
    ]
    assert DIALECT.find_chunk == 1


def test_ids_that_are_cut_off_are_no_answer() -> None:
    with pytest.raises(SchedulerUnavailable, match="cut off"):
        DIALECT.find("w0")[0].read(0, "56[1].pbs1\n56[2].p", "")


# --- submission

TAKEN = {
    "A_account": "16", "P_project": "17", "S_bash": "13", "a_later": "25", "a_later_full": "26",
    "array": "19[]", "array_percent": "23[]", "array_r_y": "22[]", "array_single_trick": "2051[]",
    "array_step": "20[]", "dir_in_W_sandbox": "14", "held": "24", "m_n": "11", "name_digit": "8",
    "ok": "1", "queue_stopped": "32", "r_n": "12", "stdin_ok_f": "2050", "too_many_cpus": "6",
    "too_much_memory": "7", "torque_nodes_ppn": "9", "v_var": "18",
}  # fmt: skip
REFUSED = {
    "W_comment": (155, "Cannot set attribute"),
    "acl_user": (159, "Unauthorized Request"),
    "array_comma": (2, "illegal -J value"),
    "array_gap_list": (2, "illegal -J value"),
    "array_of_one": (2, "illegal -J value"),
    "array_of_one_2": (2, "illegal -J value"),
    "array_r_n": (1, "cannot submit non-rerunable Array Job"),
    "bad_W": (154, r"Error \(15002\) submitting job"),
    "bad_name": (1, "directive error: -N 1 2"),
    "bad_option": (1, "invalid option -- 'Y'"),
    "bad_path_S": (2, "illegal -S value"),
    "bad_resource": (187, "Unknown resource Resource_List.nosuchres"),
    "bad_resource_in_select": (187, "Unknown resource: nosuchres"),
    "bad_walltime": (166, "Illegal attribute or resource value"),
    "name_236": (2, "Job name is too long"),
    "name_long": (2, "Job name is too long"),
    "over_queue_walltime": (188, "Job violates queue and/or server resource limits"),
    "torque_d": (1, "invalid option -- 'd'"),
    "torque_nodes_ppn_gpus": (241, r"node\(s\) specification error"),
    "torque_t": (1, "invalid option -- 't'"),
    "unknown_queue": (170, "Unknown queue"),
}
#: Case -> exit status, message, whether it is known to pass.
POSTPONED = {
    "array_over_max_array_size": (3, "Array job exceeds server or queue size limit", False),
    "array_too_large": (3, "Array job exceeds server or queue size limit", False),
    "array_over_max_queued": (38, "would exceed complex's per-user limit", True),
    "over_max_queued": (38, "would exceed complex's per-user limit", True),
    "over_max_queued_res": (39, "would exceed per-user limit on resource ncpus", True),
    "queue_disabled": (173, "Queue is not enabled", True),
}


@pytest.mark.parametrize("case", TAKEN)
def test_id_of_a_job_that_was_taken(case: str) -> None:
    assert captured(f"qsub_{case}")[0] == 0
    assert DIALECT.read_submitted(*captured(f"qsub_{case}")) == f"{TAKEN[case]}.pbs1"


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_that_stays(case: str) -> None:
    code, words = REFUSED[case]
    assert captured(f"qsub_{case}")[0] == code
    with pytest.raises(SubmissionRefused, match=words) as refusal:
        DIALECT.read_submitted(*captured(f"qsub_{case}"))
    assert str(refusal.value).startswith("OpenPBS refused the job: ")


@pytest.mark.parametrize("case", POSTPONED)
def test_refusal_that_may_pass_or_concern_the_size_of_the_array(case: str) -> None:
    code, words, passing = POSTPONED[case]
    assert captured(f"qsub_{case}")[0] == code
    with pytest.raises(SubmissionPostponed, match=words) as trouble:
        DIALECT.read_submitted(*captured(f"qsub_{case}"))
    assert trouble.value.answered
    assert trouble.value.passing is passing


def test_version() -> None:
    for command in ("qsub", "qstat"):
        assert captured(f"{command}_version")[0] == 0
        assert DIALECT.version().read(*captured(f"{command}_version")) == "23.06.06"


# --- the header


def test_header_states_every_resource() -> None:
    lines = header(
        comment="2f1c",
        resources=dialects.every_resource("-P models", "-l place=excl"),
    )
    assert lines == [
        "#PBS -N a1",
        "#PBS -o /d/log",
        "#PBS -j oe",
        "#PBS -k oed",
        "#PBS -S /bin/bash",
        "#PBS -r n",
        "#PBS -m n",
        "#PBS -l select=1:ncpus=4:mem=8000mb:ngpus=2",
        "#PBS -l walltime=25:01:01",
        "#PBS -q long",
        "#PBS -A climate",
        "#PBS -P models",
        "#PBS -l place=excl",
    ]


@pytest.mark.parametrize(
    ("own", "option"), [((1, 2, 4), "-J 1-4"), ((3,), "-J 3-4"), ((1, 500), "-J 1-500")]
)
def test_array_has_two_places_at_least_and_a_log_for_each(
    own: tuple[int, ...], option: str
) -> None:
    lines = header(log="/d", array_indices=own, resources={"requeue": True})
    assert f"#PBS {option}" in lines
    assert "#PBS -o /d/log-^array_index^" in lines
    assert "#PBS -r y" in lines


@pytest.mark.parametrize("requeue", [False, True])
def test_jobs_go_as_an_array_only_where_they_may_be_started_again(requeue: bool) -> None:
    assert DIALECT.takes_arrays(Resources(requeue=requeue)) is requeue


@pytest.mark.parametrize(
    "values",
    [
        {"log": "/d/log\n#PBS -q x"},
        {"log": "/d/a b"},
        {"log": "/d/log-^array_index^"},
        {"log": "node7:/d/log"},
        {"resources": {"queue": "short\n"}},
        {"resources": {"extra": ("-q x\n#PBS -q y",)}},
    ],
)
def test_value_that_qsub_would_read_otherwise_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"control characters|cannot take"):
        header(**values)


def test_native_specification_has_what_pbs_drmaa_reads() -> None:
    need = Resources(cpus=2, memory=100, walltime=60, queue="long")
    assert DIALECT.native_specification(BatchJob("a1", "", "/d/log", resources=need)) == (
        "-k oed -S /bin/bash -r n -m n -l select=1:ncpus=2:mem=100mb -l walltime=00:01:00 -q long"
    )


def test_script_travels_on_standard_input_of_a_command_that_leaves_no_process() -> None:
    question = DIALECT.submit(BatchJob("a1", "#!/bin/bash\n", "/d/log"))
    assert (question.argv, question.stdin) == (("qsub", "-f"), "#!/bin/bash\n")


# --- control

DONE = {
    0: [
        *("qalter_a_array", "qdel_Wforce", "qdel_array", "qdel_array_element_running"),
        *("qdel_array_element_waiting", "qdel_array_elements_mixed", "qdel_held"),
        *("qdel_running_owner", "qdel_running_owner_twice", "qdel_running_root"),
        *("qdel_suspended", "qdel_trap", "qdel_x_finished", "qhold_again", "qhold_array"),
        *("qhold_o_by_root", "qhold_queued", "qhold_running", "qhold_s_by_root", "qrls_again"),
        *("qrls_array", "qrls_o_by_owner", "qrls_o_by_root", "qrls_queued", "qrls_running"),
        *("qrls_s_by_owner", "qrls_s_by_root", "qsig_cont_owner", "qsig_resume_again"),
        *("qsig_resume_array_element_root", "qsig_resume_root", "qsig_stop_owner"),
        *("qsig_suspend_array_element_root", "qsig_suspend_queued", "qsig_suspend_root"),
        "qdel_all_cleanup_root",
    ],
    OVER: [
        *("qdel_array_again", "qdel_array_element_finished", "qdel_finished", "qhold_finished"),
        *("qhold_mixed", "qrls_finished", "qrls_mixed", "qsig_suspend_finished"),
    ],
    UNKNOWN: [
        *("nohistory_qdel_ended", "qdel_mixed", "qdel_unknown", "qhold_unknown", "qrls_unknown"),
        *("qsig_suspend_unknown", "mom_killed_qdel_other"),
    ],
    168: ["qsig_suspend_again"],
}
FORBIDDEN = [
    *("qdel_by_other", "qhold_by_other", "qhold_o_by_owner", "qrls_s_by_owner_hs", "qrerun_owner"),
    *("qsig_suspend_owner", "qsig_resume_owner"),
]


@pytest.mark.parametrize(
    ("code", "case"), [(code, case) for code, cases in DONE.items() for case in cases]
)
def test_what_is_done_over_or_unknown_is_no_error(code: int, case: str) -> None:
    assert captured(case)[0] == code
    DIALECT.read_control(*captured(case))


@pytest.mark.parametrize("case", FORBIDDEN)
def test_what_this_account_may_not_do_says_who_may(case: str) -> None:
    assert captured(case)[0] == 159
    with pytest.raises(NotPermitted, match=r"pbs1 \(an operator of the server may"):
        DIALECT.read_control(*captured(case))


@pytest.mark.parametrize("case", ["qhold_array_element", "qrls_array_element"])
def test_one_element_of_an_array_is_not_held_and_that_is_told_before_it_is_tried(case: str) -> None:
    assert captured(case)[0] == 156
    with pytest.raises(SchedulerError, match="Invalid request"):
        DIALECT.read_control(*captured(case))
    for action in (Action.HOLD, Action.RELEASE):
        with pytest.raises(NotPermitted, match="as a whole only"):
            DIALECT.control(action, ["59[1].pbs1"])
    (question,) = DIALECT.control(Action.CANCEL, ["59[1].pbs1"])
    assert question.argv == ("qdel", "59[1].pbs1")


def test_one_refusal_among_jobs_that_are_over_is_not_overlooked() -> None:
    refused, over = captured("qsig_suspend_owner")[2], captured("qdel_finished")[2]
    with pytest.raises(NotPermitted) as refusal:
        DIALECT.read_control(OVER, "", refused + over)
    assert "finished" not in str(refusal.value)


@pytest.mark.parametrize(
    ("case", "released"), [("held", True), ("held_s", False), ("held_o", False)]
)
def test_hold_of_the_administration_is_not_said_to_be_released(case: str, released: bool) -> None:
    """Measured: qrls by the owner says 0 and changes nothing (qstat_held_s_after_owner_qrls)."""
    ((job, status),) = DIALECT.described(*captured(f"qstat_fw_{case}")).items()
    if released:
        assert DIALECT.control(Action.RELEASE, [job], status.detail)
    else:
        with pytest.raises(NotPermitted, match="only an operator"):
            DIALECT.control(Action.RELEASE, [job], status.detail)


# --- nobody answers

#: The same to a host whose pbs_iff may not ask for a user's credentials.
UNAUTHENTICATED = {f"unauthenticated_{name}": 255 for name in ("qdel", "qselect", "qstat", "qsub")}
DOWN = {
    **UNAUTHENTICATED,
    "down_pbsnodes": 1,
    "down_qstat": 255,
    **{f"down_{name}": 162 for name in ("qdel", "qhold", "qselect", "qsig", "qsub", "qsub_f")},
}


@pytest.mark.parametrize("case", DOWN)
def test_server_that_is_down_is_recognised_and_has_certainly_taken_nothing(case: str) -> None:
    code, _, err = captured(case)
    assert code == DOWN[case]
    assert code not in DIALECT.answers
    assert DIALECT.messages.cannot_ask.search(err)
    assert DIALECT.messages.not_taken.search(err)


@pytest.mark.parametrize("case", [*UNAUTHENTICATED, "down_qsub", "down_qstat"])
def test_who_cannot_be_authenticated_is_told_so_rather_than_that_the_server_is_down(
    case: str,
) -> None:
    words = captured(case)[2].lower()
    advice = next(advice for sign, advice in DIALECT.remedies if sign in words)
    assert ("set-user-ID" in advice) is (case in UNAUTHENTICATED)
    assert ("is pbs_server running" in advice) is (case not in UNAUTHENTICATED)


HUNG = [f"hung_{name}" for name in ("qdel", "qselect", "qstat", "qsub")]


@pytest.mark.parametrize("case", HUNG)
def test_server_that_hangs_says_nothing(case: str) -> None:
    """So that the channel's time limit tells; "after_hang_qselect" shows that the job was taken."""
    code, out, err = (
        (FOLDER / f"{case}.{part}").read_text() for part in ("rc", "stdout", "stderr")
    )
    assert (code.strip(), out, err) == ("timeout", "", "")


# --- what else was captured

#: Case -> what of it the dialect, the template or the documents rely on.
FACTS = {
    "pbsnodes_a": "state = free",
    "pbsnodes_a_json": '"state":\t"free"',
    "mom_killed_pbsnodes": "state = down",
    "qstat_Bf": "server_state = Active",
    "qstat_Qf": "queue_type = Execution",
    "env_job": "PBS_JOBID=55.pbs1",
    "env_array_element": "PBS_ARRAY_INDEX=1",
    "files_in_o_folder": "-rw------- 1 wps wps   10 Nov 28 13:00 log-1",
    "accounting": "Exit_status=271",
    "tracejob_walltime": "walltime 10 exceeded limit 5",
    "tracejob_memory": "mem 422304kb exceeded limit 102400kb",
    "tracejob_by_owner": "Exit_status=-27",
}


@pytest.mark.parametrize("case", FACTS)
def test_fact_that_was_captured(case: str) -> None:
    code, out, err = captured(case)
    assert code == (1 if case == "env_array_element" else 0)  # cat found one file only
    assert FACTS[case] in out + err


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("walltime 10 exceeded limit 5", Outcome.TIME_LIMIT),
        ("mem 422304kb exceeded limit 102400kb", Outcome.MEMORY_LIMIT),
    ],
)
def test_line_in_the_log_tells_the_limit(words: str, outcome: Outcome) -> None:
    assert DIALECT.explain(f"step 3\n=>> PBS: job killed: {words}\n") is outcome
    assert pbs.explain(f"the {words}\n") is None


def test_every_captured_case_is_read_by_a_test() -> None:
    read_here = {
        *HISTORY, *QUEUE, *NOT_WITHOUT_X, *OTHER, *LOGGED, *FORMATS, *OTHER_FORMATS, *SELECTED,
        *(f"log_log{name}" for name in (*LOGS, "kmissing")),
        *(f"qsub_{name}" for name in (*TAKEN, *REFUSED, *POSTPONED)),
        *("qsub_version", "qstat_version", "qstat_bad_id", "qstat_unknown_server"),
        *(case for cases in DONE.values() for case in cases), *FORBIDDEN,
        *("qhold_array_element", "qrls_array_element"), *DOWN, *HUNG, *FACTS,
    }  # fmt: skip
    assert {path.stem for path in FOLDER.glob("*.stdout")} == read_here
