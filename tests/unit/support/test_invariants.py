"""The checker itself: each broken promise, planted alone, is found and named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import invariants
from dispatcher_harness import ACCEPTED, DispatcherHarness
from fake_scheduler import DONE
from invariants import Broken, Facts, Folder, InvariantViolated, Row
from joblauncher.shared import files, outcome, status_xml
from pywps_hpc.jobs import ControlRequest, new_id
from servers import wait_for
from status_readers import Reader, Watch, documents_in

ID, OTHER = new_id(), new_id()
SUCCEEDED = status_xml.Status("succeeded", 100, "done")
FAILED = status_xml.Status("failed", 100, "killed: time limit 00:10:00 reached")
NAMES = frozenset({"job.dump", "job.sh", "status.xml", "outcome.json", "lease.0", "outputs"})


def sound(**changes: Any) -> Facts:
    """Two jobs that ended as they should, one of them badly."""
    good = outcome.Report(ID, "hello", "succeeded", 100, "done", finished=9.0)
    bad = outcome.Report(OTHER, "hello", "failed", 100, cause="dispatcher", finished=9.0)
    facts = Facts(
        accepted=frozenset({ID, OTHER}),
        rows={
            ID: Row("succeeded", "w1", finished=9.0),
            OTHER: Row("failed", "wa", 2, FAILED.message, finished=9.0),
        },
        folders={ID: Folder(NAMES, SUCCEEDED, good), OTHER: Folder(NAMES, FAILED, bad)},
        queue=frozenset({("somebody", 0), ("wa", 1)}),
        runs={("w1", 0): 1, ("wa", 2): 1},
        ends={ID: ["succeeded"], OTHER: ["failed"]},
    )
    return dataclasses.replace(facts, **changes)


def of_row(**changes: Any) -> dict[str, Any]:
    rows = sound().rows
    return {"rows": {**rows, ID: dataclasses.replace(rows[ID], **changes)}}


def of_folder(**changes: Any) -> dict[str, Any]:
    folders = sound().folders
    return {"folders": {**folders, ID: dataclasses.replace(folders[ID], **changes)}}


def of_report(**changes: Any) -> dict[str, Any]:
    facts = sound().folders[ID].report
    assert facts is not None
    return of_folder(report=dataclasses.replace(facts, **changes))


def test_nothing_is_found_where_all_is_well() -> None:
    assert invariants.violations(sound()) == []


@pytest.mark.parametrize(
    ("planted", "kind", "words"),
    [
        ({"rows": {OTHER: sound().rows[OTHER]}}, Broken.LOST, "no row"),
        (of_row(state="running"), Broken.OPEN, "running"),
        (of_row(finished=0.0), Broken.DISAGREE, "since when"),
        (of_folder(names=NAMES | {"lease.1"}), Broken.RAN_TWICE, "[0, 1]"),
        (of_folder(names=NAMES - {"lease.0"}), Broken.NEVER_RAN, "lease"),
        (of_report(attempt=1), Broken.NEVER_RAN, "attempt 1"),
        ({"runs": {("w1", 0): 2, ("wa", 2): 1}}, Broken.RAN_TWICE, "2 times"),
        ({"runs": {("wa", 2): 1}}, Broken.NEVER_RAN, "accounting"),
        ({"queue": frozenset({("w1", 0)})}, Broken.IN_QUEUE, "waiting or running"),
        (of_folder(document=None), Broken.TORN, "status document"),
        (of_folder(report=None), Broken.TORN, "outcome.json"),
        (of_folder(document=FAILED), Broken.DISAGREE, "document: failed"),
        (of_report(state="started"), Broken.DISAGREE, "outcome.json: started"),
        (of_report(finished=0.0), Broken.DISAGREE, "not final"),
        (of_report(cause="stopped"), Broken.DISAGREE, "not final"),
        ({"folders": {OTHER: sound().folders[OTHER]}}, Broken.DISAGREE, "folder is gone"),
        (of_folder(names=NAMES | {"work"}), Broken.ON_DISK, "work is left"),
        (of_folder(names=NAMES | {"tmp"}), Broken.ON_DISK, "tmp is left"),
        (of_folder(names=NAMES | {"inputs"}), Broken.ON_DISK, "inputs is left"),
        (of_folder(names=NAMES | {".status.xml.a1"}), Broken.ON_DISK, ".status.xml.a1 is left"),
        ({"folders": {**sound().folders, "x": sound().folders[ID]}}, Broken.ON_DISK, "no row"),
        ({"orphaned_arrays": frozenset({"wa"})}, Broken.ON_DISK, "array wa"),
        ({"ends": {ID: ["failed"], OTHER: ["failed"]}}, Broken.DISAGREE, "log: failed"),
        ({"ends": {ID: ["succeeded"] * 2, OTHER: ["failed"]}}, Broken.DISAGREE, "log: succeeded,"),
        ({"ends": {OTHER: ["failed"]}, "log_has_gaps": False}, Broken.DISAGREE, "log: no end"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_planted_violation_is_found_alone_and_named(
    planted: dict[str, Any], kind: Broken, words: str
) -> None:
    (found,) = invariants.violations(sound(**planted))
    assert (found.kind, words in found.words) == (kind, True), found
    with pytest.raises(InvariantViolated, match=kind.value):
        invariants.require([found])


def test_words_that_differ_are_found() -> None:
    rows = {**sound().rows, OTHER: Row("failed", "wa", 2, "lost", finished=9.0)}
    (found,) = invariants.violations(sound(rows=rows))
    assert found.kind is Broken.DISAGREE
    assert "'lost'" in found.words


@pytest.mark.parametrize(
    "allowed",
    [
        of_folder(names=NAMES | {"lease.1"}) | {"restarted": frozenset({ID})},
        {"runs": {("w1", 0): 2, ("wa", 2): 1}, "restarted": frozenset({ID})},
        {"folders": {OTHER: sound().folders[OTHER]}, "folder_removed": frozenset({ID})},
        {"folders": {**sound().folders, "x": sound().folders[ID]}, "unrecorded": True},
        {"ends": {}, "log_has_gaps": True},
        {"queue": None, "runs": None, "ends": None},
    ],
    ids=["restarted", "given-twice", "removed", "unrecorded", "killed", "unknown"],
)
def test_what_a_test_allows_is_no_violation(allowed: dict[str, Any]) -> None:
    assert invariants.violations(sound(**allowed)) == []


def test_a_real_life_leaves_nothing_to_be_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    harness = DispatcherHarness(tmp_path)
    jobs = [harness.running() for _ in range(2)]
    for job in jobs:
        harness.folder(job).lease(0).touch()
    dismissed = harness.accept()
    harness.store.request(dismissed.id, ControlRequest.DISMISS)
    harness.succeed_in_queue(jobs[0])
    harness.fail(jobs[1], "no such catchment", "process")
    harness.scheduler.say(jobs[1].native_id, DONE)
    harness.cycle()
    ids = [job.id for job in (*jobs, dismissed)]
    facts = invariants.facts_of(
        harness.store,
        harness.spool,
        ids,
        ends=invariants.ends_in("\n".join(r.getMessage() for r in caplog.records)),
        log_has_gaps=False,
    )
    invariants.require(invariants.violations(facts))
    assert {facts.rows[job].state for job in ids} == {"succeeded", "failed", "dismissed"}
    harness.folder(dismissed).work.mkdir()
    facts = invariants.facts_of(harness.store, harness.spool, [*ids, new_id()])
    assert {one.kind for one in invariants.violations(facts)} == {Broken.ON_DISK, Broken.LOST}


def _document(state: str, percent: int = 0) -> bytes:
    return status_xml.replace(ACCEPTED, status_xml.Status(state, percent, ""))


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ([ACCEPTED, ACCEPTED[:-9]], Broken.TORN),
        ([ACCEPTED, b""], Broken.TORN),
        ([_document("started"), ACCEPTED], Broken.TURNED_BACK),
        ([_document("succeeded"), ACCEPTED], Broken.TURNED_BACK),
        ([_document("failed"), _document("started")], Broken.TURNED_BACK),
        ([_document("failed"), _document("succeeded")], Broken.TURNED_BACK),
        ([_document("started", 5).replace(b'"5"', b'"120"')], Broken.TORN),
        ([_document("started", 5).replace(b'"5"', b'"many"')], Broken.TORN),
    ],
)
def test_a_document_that_is_cut_or_turns_back_is_found(seen: list[bytes], kind: Broken) -> None:
    watch = Watch(ID)
    for document in seen:
        watch.saw(document)
    assert [one.kind for one in watch.found] == [kind]


def test_a_document_may_go_on_and_start_anew() -> None:
    watch = Watch(ID)
    for state, percent in [("accepted", 0), ("started", 50), ("started", 0), ("succeeded", 0)]:
        watch.saw(_document(state, percent))
    assert watch.found == []


def test_a_reader_sees_what_is_written_meanwhile(tmp_path: Path) -> None:
    harness = DispatcherHarness(tmp_path)
    with Reader(lambda: documents_in(harness.spool), pause=0.001) as reader:
        good, bad = harness.accept(), harness.accept()
        harness.begin(good)
        harness.succeed(bad)
        before = reader.count
        # Each round reads both; the first of these may have begun before the success.
        wait_for(lambda: reader.count >= before + 10, "it has been read")
        files.atomic_write(harness.folder(bad).status, ACCEPTED)
    found = reader.stop()
    assert [(one.kind, one.job) for one in found] == [(Broken.TURNED_BACK, bad.id)]
