"""What administrators are told of messages agrees with the code that writes these messages."""

from __future__ import annotations

import ast
import re

import pytest

from places import ROOT
from pywps_hpc.dispatch import explanations
from pywps_hpc.dispatch.decide import messages
from pywps_hpc.dispatch.explanations import GROUPS, Explanation
from pywps_hpc.dispatch.schedulers.base import JobStatus, Outcome, Phase
from pywps_hpc.settings import reference
from pywps_hpc.settings.model import PROCESS_PREFIX

EXPLAINED = [one for group in GROUPS for one in group.messages]
#: PyWPS's own.
FOREIGN = ("Process error: ",)


def explained(message: str) -> bool:
    return any(one.message.rstrip("…").startswith(message) for one in EXPLAINED)


def test_the_page_is_what_the_table_says() -> None:
    page = (ROOT / "docs" / "messages.md").read_text(encoding="utf-8")
    assert page == explanations.markdown(), "run: make docs"


def test_every_message_of_a_jobs_end_is_explained() -> None:
    own = {name: value for name, value in vars(messages).items() if name.isupper()}
    texts = [value for value in own.values() if isinstance(value, str)]
    texts += messages.EXIT_CODES.values()
    assert len(texts) > 12
    assert [text for text in texts if not explained(text)] == []


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.UNKNOWN])
def test_every_outcome_of_a_batch_system_is_explained(outcome: Outcome) -> None:
    status = JobStatus(Phase.FINISHED, outcome, exit_code=0, signal=9)
    assert explained(messages.why(status, explanations._ASKED))


def test_every_key_that_is_named_exists() -> None:
    known = {f"[{entry.section}] {entry.name}" for entry in reference.entries()}
    for_one = {"[hpc.resources]", "[hpc.container]", f"[{reference.PROCESS}]"}
    known |= {
        f"[{PROCESS_PREFIX}ID] {entry.name}"
        for entry in reference.entries()
        if f"[{entry.section}]" in for_one
    }
    known |= {f"[{PROCESS_PREFIX}ID]", "[server] allowedinputpaths"}
    named = {key for one in EXPLAINED for key in one.keys}
    assert len(named) > 20
    assert named - known == set()


def constants() -> list[str]:
    """Each text in the code; of a formatted one what stands between its values."""
    found = []
    for package in ("pywps_hpc", "joblauncher"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "explanations.py":
                nodes = ast.walk(ast.parse(path.read_text("utf-8")))
                texts = (node.value for node in nodes if isinstance(node, ast.Constant))
                found += [text for text in texts if isinstance(text, str)]
    return found


CONSTANTS = [text.strip() for text in constants() if len(text.strip()) > 3]


@pytest.mark.parametrize("one", EXPLAINED, ids=lambda one: one.message[:40])
def test_a_message_is_one_that_the_code_writes(one: Explanation) -> None:
    """Taken to pieces by what the code has as text, nothing is left of it but values."""
    left = one.message.removesuffix("…").strip()
    for text in sorted({text for text in CONSTANTS if text in left}, key=len, reverse=True):
        left = left.replace(text, "\0")
    left = left.replace("\0", "") if not one.message.startswith(FOREIGN) else ""
    assert not re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{3,}", left), left
