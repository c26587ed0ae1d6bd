"""Log lines that nobody can forge, wherever a client's text gets into a record."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from in_process_service import InProcessService, open_service
from joblauncher.shared import logs

FORGED = "2026-11-28 12:00:00,000 pywps_hpc.dispatch: 11111111: dismissed"
BREAKS = ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\n\n"]
FORMAT = "%(asctime)s %(name)s: %(message)s"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InProcessService]:
    with open_service(tmp_path) as opened:
        yield opened


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a log file would hold, with everything in it that is ever told."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    loggers = [logging.getLogger(), logging.getLogger("PYWPS")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield stream
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


def lines(stream: io.StringIO) -> list[str]:
    return [line.strip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("at", BREAKS)
def test_no_request_forges_a_line_of_the_log(
    app: InProcessService, written: io.StringIO, at: str
) -> None:
    """In identifiers, values, headers and whatever else stands in a message or a traceback."""
    text = f"x{at}{FORGED}"
    in_url = quote(text, safe="")
    in_xml = "".join(f"&#{ord(c)};" if c in at else c for c in text)
    app.heartbeat()
    for query in (
        f"service=WPS&request=Execute&version=1.0.0&identifier={in_url}",
        f"service=WPS&request={in_url}&version=1.0.0",
        f"service={in_url}&request=GetCapabilities",
        f"service=WPS&request=DescribeProcess&version={in_url}&identifier={in_url}",
        f"service=WPS&request=Execute&version=1.0.0&identifier=repeat_2&DataInputs={in_url}",
        f"service=WPS&request=Execute&version=1.0.0&identifier=repeat_2&DataInputs=text={in_url}",
        f"service=WPS&request=Execute&version=1.0.0&identifier=box&DataInputs=area={in_url}",
        f"service=WPS&request=Execute&version=1.0.0&identifier=files"
        f"&DataInputs=file=@xlink:href={in_url}@mimeType={in_url}",
    ):
        query += "&storeExecuteResponse=true&status=true"  # nobody is there to run it
        app.get(f"/wps?{query}", **{"User-Agent": "x", "Accept-Language": quote(text)})
    for identifier, value in ((in_xml, "x"), ("repeat_2", in_xml), ("box", in_xml)):
        document = (
            '<wps:Execute service="WPS" version="1.0.0" xmlns:wps="http://www.opengis.net/wps/1.0.0"'
            f' xmlns:ows="http://www.opengis.net/ows/1.1"><ows:Identifier>{identifier}'
            f"</ows:Identifier><wps:DataInputs><wps:Input><ows:Identifier>{value}</ows:Identifier>"
            f"<wps:Data><wps:LiteralData>{value}</wps:LiteralData></wps:Data></wps:Input>"
            '</wps:DataInputs><wps:ResponseForm><wps:ResponseDocument storeExecuteResponse="true" '
            'status="true"/></wps:ResponseForm></wps:Execute>'
        )
        app.web.post("/wps", data=document.encode(), content_type="text/xml")
    app.web.post("/wps", json={"mode": "async", "identifier": text, "inputs": {text: text}})
    app.web.get(f"/status/{in_url}")
    assert any("2026-11-28" in line for line in lines(written))
    assert FORGED not in lines(written)
    assert "NoneType: None" not in lines(written)


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_record_has_one_line_and_its_traceback_a_margin(message: str, words: str) -> None:
    before = logging.getLogRecordFactory()
    logs.install()
    try:
        make = logging.getLogger("made").makeRecord
        try:
            raise ValueError(words)
        except ValueError:
            record = make("made", 40, "f", 1, "%s", (message,), sys.exc_info())
    finally:
        logging.setLogRecordFactory(before)
    first, *rest = logging.Formatter("NOW %(message)s").format(record).splitlines()
    assert first == f"NOW {record.getMessage()}"
    assert rest
    assert all(line.startswith("  | ") for line in rest)
    assert all(line.replace("\t", "").isprintable() for line in (first, *rest))


def test_a_process_s_message_keeps_its_lines_behind_a_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its author reads the job's log."""
    before = logging.getLogRecordFactory()
    logs.install(folded=True)
    try:
        record = logging.getLogger("x").makeRecord("x", 20, "f", 1, "a\n b\x1b[2J\n", (), None)
    finally:
        logging.setLogRecordFactory(before)
    assert logging.Formatter("%(message)s").format(record) == "a\n  |  b\\x1b[2J"


@pytest.mark.parametrize("module", ["joblauncher", "pywps_hpc"])
def test_every_program_installs_it(module: str) -> None:
    code = f"""
import logging, runpy, sys
logging.basicConfig = lambda **_: print(logging.getLogRecordFactory().__module__) or sys.exit(0)
sys.argv = ["x", "/nowhere", "--digest", "0"]
runpy.run_module({module!r}, run_name="__main__")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.strip() == "joblauncher.shared.logs", ended.stderr
