"""A nursery imports what is fit for it, and nothing keeps it alive or harms it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from joblauncher import preload, warm
from joblauncher.shared.processes import memory
from joblauncher.shared.warm_home import HOME
from places import ROOT
from pywps_hpc.dispatch.schedulers.local_runtime import nursery, runner
from servers import wait_for

MARK = {runner.MARK: "-" * 300}


class ByHand:
    """A nursery as the local scheduler starts it, in a folder of the test."""

    def __init__(
        self, root: Path, modules: dict[str, str], *, idle: float = 600, orphaned: float = 600
    ) -> None:
        self.folder, self.code = root / "nursery", root / "code"
        for made in (self.folder, self.code, root / "queue"):
            made.mkdir()
        for name, text in modules.items():
            (self.code / f"{name}.py").write_text(text)
        facts = {
            "python": sys.executable,
            "paths": [str(self.code)],
            "queue": str(root / "queue"),
            "wanted": str(root / "nurseries/wanted"),
            "idle": idle,
            "orphaned": orphaned,
        }
        (self.folder / "nursery.json").write_text(json.dumps(facts))
        self.learn(config={"server": {}}, names=list(modules))

    def learn(self, **facts: Any) -> None:
        (self.folder / "learned.json").write_text(json.dumps(facts))

    def learned(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "learned.json").read_text())
        return found

    @contextlib.contextmanager
    def run(self) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-m", nursery.PROGRAM),
                    *(str(self.folder), runner.__file__),
                ],
                env=MARK | {"HOME": HOME, "TMPDIR": HOME, "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def await_ready(self) -> None:
        wait_for(lambda: "takes orders" in self.log.rpartition("starts anew")[2], "it is ready")


UNFIT = {
    "a thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n",
    "an open file or socket": "held = open('written', 'w')\n",
    "an open file or socket (": "import socket\nheld = socket.socket()\n",
    "shared memory": "import mmap\nheld = mmap.mmap(-1, 4096)\n",
    "a child process": "import subprocess\nchild = subprocess.Popen(['sleep', '4711'])\n",
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_module_that_leaves_something_running_is_left_to_the_jobs(
    tmp_path: Path, what: str
) -> None:
    modules = {"good": "", "upper": "import unfit\n", "unfit": UNFIT[what], "last": ""}
    own = ByHand(tmp_path, modules)
    with own.run() as process:
        own.await_ready()
        unfit = own.learned()["unfit"]
        assert list(unfit) == ["upper", "unfit"]
        assert all(reason.startswith(what) for reason in unfit.values())
        assert f"unfit leaves {what}" in own.log
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        assert not children.split()


def test_a_file_that_is_only_read_is_each_job_s_own(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("abcdef")
    before = preload.traces()
    with file.open("rb", buffering=0) as held:
        number = held.fileno()
        assert number in preload.only_read()
        assert not preload.traces().beyond(before)
        held.seek(2)
        pid = os.fork()
        if pid == 0:
            preload.reopen([number])
            os._exit(0 if os.read(number, 3) == b"cde" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert held.tell() == 2
    own = ByHand(tmp_path, {"reads": f"held = open({str(file)!r})\n"})
    with own.run():
        own.await_ready()
    assert own.learned().get("unfit", {}) == {}


def test_a_module_that_ends_its_interpreter_does_so_once(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"deadly": "import os\nos._exit(7)\n", "good": ""})
    with own.run() as process:
        assert process.wait(60) == 7
    with own.run():
        own.await_ready()
    assert own.learned()["unfit"] == {"deadly": "its import did not end"}


def test_a_module_that_cannot_be_imported_stops_nothing(tmp_path: Path) -> None:
    modules = {"bad": "raise RuntimeError('no')\n", "leaves": "raise SystemExit\n", "good": ""}
    own = ByHand(tmp_path, modules)
    with own.run():
        own.await_ready()
    assert own.learned().get("unfit", {}) == {}
    assert own.log.count("cannot be imported here") == 2


def test_it_ends_when_nobody_needs_it_any_more(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"good": ""}, idle=0.5)
    with own.run() as process:
        assert process.wait(60) == 0
    assert not (own.folder / "socket").exists()


def test_it_ends_soon_after_its_dispatcher(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"good": ""}, orphaned=0.5)
    held = nursery.Nurseries(tmp_path)
    held.hold()
    with own.run() as process:
        own.await_ready()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
        del held
        assert process.wait(60) == 0


def test_it_ends_when_its_folder_is_gone(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"good": ""})
    with own.run() as process:
        own.await_ready()
        shutil.rmtree(own.folder)
        assert process.wait(60) == 0


def test_a_second_one_in_the_same_folder_goes(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"good": ""})
    with own.run() as first:
        own.await_ready()
        with own.run() as second:
            assert second.wait(60) == 0
        assert first.poll() is None


def test_an_order_is_the_number_of_a_job_and_nothing_else(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"good": ""})
    with own.run() as process:
        own.await_ready()
        for order in (b"..", b"../../x", b"99", b"1\0", b"", b"\xff", b"-1", b"7" * 40):
            connection = nursery._connect(own.folder)
            assert connection is not None
            with connection:
                connection.settimeout(20)
                connection.sendall(order)
                connection.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
        assert process.poll() is None
    assert os.listdir(tmp_path / "queue") == []


def test_it_starts_anew_when_a_module_has_changed(tmp_path: Path) -> None:
    own = ByHand(tmp_path, {"good": "", "other": ""})
    (tmp_path / "queue/1").mkdir()
    with own.run() as process:
        own.await_ready()
        before = own.log.count("takes orders")
        (own.code / "other.py").write_text("print('anew')\n")
        connection = nursery._connect(own.folder)
        assert connection is not None
        with connection:
            connection.settimeout(20)
            connection.sendall(b"1")
            assert connection.recv(1) == b""
        wait_for(lambda: own.log.count("takes orders") > before, "it takes orders again")
        assert process.poll() is None
    assert "other.py has changed" in own.log
    assert os.listdir(tmp_path / "queue/1") == []


def test_what_importing_wrote_to_its_home_no_job_can_change_by_accident(tmp_path: Path) -> None:
    text = "from pathlib import Path\n(Path.home() / 'cache').mkdir()\n"
    own = ByHand(tmp_path, {"writes": text})
    with own.run():
        own.await_ready()
        assert (own.folder / "home/cache").stat().st_mode & 0o777 == 0o500
        assert (own.folder / "home").stat().st_mode & 0o777 == 0o500


def test_a_memory_limit_counts_what_is_shared_in_part() -> None:
    held = bytearray(64 << 20)
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        wait_for(lambda: memory([pid], 1 << 60) >= len(held), "the child has all of it")
        assert memory([pid], 0) < memory([pid], 1 << 60) - len(held) / 3
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_nursery_does_not_grow_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "MOST_MEMORY", preload.resident() // 2)
    sys.modules.pop("this_is_not_loaded", None)
    with pytest.raises(preload.Unfit, match=r"MiB of memory"):
        preload.load(["this_is_not_loaded"], (), lambda name: None)


def test_only_files_that_may_change_are_looked_at() -> None:
    everywhere = preload.files()
    assert preload.__file__ in everywhere
    below = str(Path(preload.__file__).parent)
    assert preload.files([below]) == {
        path: facts for path, facts in everywhere.items() if path.startswith(f"{below}/")
    }
    assert preload.files([below[:-1]]) == {}


def test_a_change_is_seen_wherever_a_module_is(tmp_path: Path) -> None:
    archive = tmp_path / "code.zip"
    places = {str(tmp_path / "code.py"): b"1", str(archive): b"12"}
    for place, text in places.items():
        Path(place).write_bytes(text)
    inside = [*places, str(archive / "package/module.py"), str(tmp_path / "none.py")]
    known = {path: preload.stamp(path) for path in inside}
    assert preload.changed(known) == ""
    archive.write_bytes(b"123")
    assert preload.changed(known) == str(archive)
    assert preload.changed({inside[2]: known[inside[2]]}) == inside[2]


def test_a_nursery_that_starts_anew_finds_what_the_one_before_compiled(tmp_path: Path) -> None:
    compiles = (
        "import os, pathlib\n"
        "place = pathlib.Path(os.environ['NUMBA_CACHE_DIR'])\n"
        "found = (place / 'f.nbi').exists()\n"
        "place.mkdir(parents=True, exist_ok=True)\n"
        "found or (place / 'f.nbi').write_text('compiled')\n"
        "print('compiled before:', found, place, flush=True)\n"
    )
    nursed = ByHand(tmp_path, {"compiles": compiles})
    for found in (False, True):
        with nursed.run():
            wait_for(lambda: (nursed.folder / "socket").exists(), "it takes orders")
            log = (nursed.folder / "log").read_text()
            # Below its home, which in each job is the job's own.
            assert f"compiled before: {found} {HOME}/" in log
        (nursed.folder / "socket").unlink(missing_ok=True)


@pytest.mark.parametrize("news", ["nothing", "a module", "another configuration"])
def test_a_launcher_reports_to_its_nursery_what_is_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, news: str
) -> None:
    nursery_end, launcher_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    warm.report_to(launcher_end.detach(), {"server": {"url": "a"}})
    if news == "a module":
        (tmp_path / "brought_by_a_job.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        importlib.import_module("brought_by_a_job")
    config = {"server": {"url": "b" if news == "another configuration" else "a"}}
    warm.report(config)
    nursery_end.setblocking(False)
    with nursery_end:
        try:
            told = json.loads(nursery_end.recv(1 << 20))
        except (BlockingIOError, ConnectionError):
            told = None
    names = ["brought_by_a_job"] if news == "a module" else []
    assert told == (None if news == "nothing" else {"config": config, "names": names})


def test_a_nursery_does_once_what_is_the_same_for_each_job(tmp_path: Path) -> None:
    (tmp_path / "learned.json").write_text(json.dumps({"config": {"server": {}}, "names": []}))
    code = (
        "import pathlib, sys\n"
        "from joblauncher import command, imports, runner\n"
        "from joblauncher.shared import dump\n"
        "imports.Imports(pathlib.Path(sys.argv[1]), [], sys.exit).prepare()\n"
        "for one in (command._parser, runner.mismatches, dump.versions):\n"
        "    assert one.cache_info().currsize == 1, one\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, cwd=ROOT, timeout=120)


LEARNS = """
import contextlib, json, os, sys
from pathlib import Path
from joblauncher.imports import Imports

folder, code, told, change = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]

def start_anew(reason):
    print("starts anew:", reason, flush=True)
    os._exit(0)

@contextlib.contextmanager
def pause():
    print("paused", end=" ")
    yield
    print("goes on", end=" ")

imports = Imports(folder, [code], start_anew, pause=pause if told == "in place" else None)
imports.prepare()
assert "first" in sys.modules and "more" not in sys.modules
if change:
    Path(code, change).write_text("CHANGED = True\\n")
report = {"config": {"server": {}}, "names": ["more"]}
imports._reporter.send(json.dumps(report).encode())
imports.learn()
home = {oct(path.stat().st_mode & 0o777) for path in (folder / "home", folder / "home/made")}
print("more" in sys.modules, home, imports.is_stale() or "fresh")
Path(code, "first.py").write_text("CHANGED = True\\n")
print(imports.is_stale().rpartition("/")[2])
"""


@pytest.mark.parametrize(
    ("told", "more", "change", "expected"),
    [
        (
            "in place",
            "from pathlib import Path\n(Path.home() / 'made').mkdir()\n",
            "",
            "paused goes on True {'0o500'} fresh\nfirst.py has changed",
        ),
        ("anew", "", "", "starts anew: a job has imported more"),
        ("in place", UNFIT["shared memory"], "", "paused starts anew: more leaves shared memory"),
        ("in place", "", "first.py", "paused starts anew: first.py has changed"),
    ],
    ids=["beside the rest", "in a container", "unfit", "outdated"],
)
def test_what_a_job_has_imported_is_imported_beside_the_rest(
    tmp_path: Path, told: str, more: str, change: str, expected: str
) -> None:
    own = ByHand(tmp_path, {"first": "", "more": more})
    own.learn(config={"server": {}}, names=["first"])
    done = subprocess.run(
        [sys.executable, "-c", LEARNS, str(own.folder), str(own.code), told, change],
        env=os.environ | {"HOME": HOME, "TMPDIR": HOME},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(f"{own.code}/", "").startswith(expected), done.stdout
    assert "more" in own.learned()["names"]
