"""Log lines as text or JSON, the job's id first, whoever writes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from joblauncher.shared import logs
from pywps_hpc import lifecycle, log_format
from pywps_hpc.jobs import new_id


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The log file of a logger with a handler of its own, as PyWPS's is."""
    logger, records = logging.getLogger("other.log"), logging.getLogRecordFactory()
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logs.install()
    root = [(one, one.formatter) for one in logging.root.handlers]
    yield tmp_path / "log"
    for one, formatter in root:
        one.setFormatter(formatter)
    logging.setLogRecordFactory(records)
    logger.removeHandler(handler)
    handler.close()


def lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_is_one_object_that_begins_with_the_job(file: Path) -> None:
    log_format.use("json", "other.log")
    job, log = new_id(), logging.getLogger("other.log")
    log.warning("%s: submitted as %s\nforged", job, "7")
    log.warning("dispatcher %s: leads", "d")
    try:
        raise ValueError("no such luck")
    except ValueError:
        log.exception("%s: odd", job)
    first, second, third = lines(file)
    assert list(first) == ["job", "time", "level", "logger", "message"]
    assert (first["job"], first["message"]) == (job, "submitted as 7\\nforged")
    assert (first["level"], first["logger"]) == ("WARNING", "other.log")
    assert first["time"].endswith("Z")
    assert (second["job"], second["message"]) == ("", "dispatcher d: leads")
    assert "ValueError: no such luck" in third["exception"]


def test_a_file_is_opened_anew_and_stays_json(file: Path) -> None:
    log_format.use("json", "other.log")
    log = logging.getLogger("other.log")
    log.warning("one")
    file.rename(file.with_name("log.1"))
    lifecycle.reopen_logs()
    log.warning("two")
    assert [one["message"] for one in lines(file.with_name("log.1"))] == ["one"]
    assert [one["message"] for one in lines(file)] == ["two"]


def test_text_leaves_the_form_of_others_alone_and_takes_json_back(file: Path) -> None:
    log = logging.getLogger("other.log")
    log_format.use("text", "other.log")
    log.warning("plain")
    assert file.read_text() == "plain\n"
    log_format.use("json", "other.log")
    log_format.use("text", "other.log")
    log.warning("again")
    assert file.read_text().endswith(" other.log: again\n")
