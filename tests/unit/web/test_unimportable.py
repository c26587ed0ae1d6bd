"""Why an application cannot be imported: what is said, in which line, and with which remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pywps_hpc.web.server.importing import Reason, import_application, why_not

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that may not read")


def reason(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Reason:
    """What is said of the application of this name, from this folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises((Exception, SystemExit)) as raised:
        import_application(name)
    ours = raised.value.__traceback__
    assert ours is not None
    return why_not(name, raised.value.with_traceback(ours.tb_next))


@contextmanager
def nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("code", "what", "remedy"),
    [
        ("x = 1\nx = = 2\n", "SyntaxError: invalid syntax ({file}, line 2)", "correct that there"),
        ("import json\njson.loads('{{')\n", "JSONDecodeError: Exp", "correct that there"),
        ("raise SystemExit\n", "SystemExit ({file}, line 1)", "correct that there"),
        ("from os import nothing\n", "cannot import name 'nothing'", "install what it needs"),
        ("open(b'/nowhere/x')\n", "/nowhere/x cannot be opened: No such", "correct its name"),
        ("raise OSError(98, 'In use')\n", "OSError: [Errno 98] In use ({file}, line 1)", "correct"),
        ("open(999)\n", "OSError: [Errno 9] Bad file descriptor ({file}, line 1)", "correct"),
    ],
)
def test_it_says_what_is_wrong_and_in_which_line_of_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, what: str, remedy: str
) -> None:
    file = tmp_path / "cannot_come.py"
    file.write_text(code.replace("{{", "{"))
    said = reason(tmp_path, monkeypatch, "cannot_come:service")
    assert said.what.startswith("cannot_come:service cannot be imported: ")
    assert what.format(file=file) in said.what
    assert f"({file}, line " in said.what
    assert remedy in said.remedy
    assert "name it as MODULE:NAME" not in said.remedy


@pytest.mark.parametrize(("name", "what"), [("no_such", "no module"), ("os:nothing", "'nothing'")])
def test_only_of_a_wrong_name_it_says_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    said = reason(tmp_path, monkeypatch, name)
    assert what in said.what
    assert said.remedy.startswith("name it as MODULE:NAME")


@as_root
def test_it_names_the_file_or_folder_that_the_account_may_not_open(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, closed = open_folder / "closed_code.py", open_folder / "closed"
    code.write_text("")
    code.chmod(0o600)
    closed.mkdir(mode=0o700)
    (open_folder / "closed_data.py").write_text(f"open('{closed}/data/stations.nc')\n")
    (closed / "within.py").write_text("")
    with nobody():
        of_code = reason(open_folder, monkeypatch, "closed_code:service")
        of_data = reason(open_folder, monkeypatch, "closed_data:service")
    assert of_code.what == (
        f"closed_code:service cannot be imported: {code} cannot be opened: Permission denied"
    )
    assert (
        f"{closed}/data/stations.nc cannot be opened: Permission denied "
        f"(the folder {closed} cannot be entered) ({open_folder}/closed_data.py, line 1)"
    ) in of_data.what
    monkeypatch.chdir(closed)
    with nobody():
        within = why_not("within:service", ModuleNotFoundError("no", name="within"))
    assert f"no module within in {closed}, which cannot be read" in within.what
    for said in (of_code, of_data, within):
        assert (
            said.remedy
            == "let the account nobody open it, or run this as the account of the service"
        )
