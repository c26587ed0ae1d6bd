"""The script that is shown for an owner and for what a client asks for is what such a job gets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from in_process_service import InProcessService, open_service
from owner_accounts import owner_sections
from pywps_hpc import settings
from pywps_hpc.cli import commands
from pywps_hpc.dispatch.schedulers.registry import make_scheduler
from pywps_hpc.dispatch.scripts.script import Scripts

PROCESS = "repeat_2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[InProcessService]:
    with open_service(
        folder,
        **owner_sections(folder),
        **{
            "hpc.resources": {
                "memory": "512M",
                "walltime": "00:10:00",
                "client_cpus": "1..16",
                "client_memory": "1G..64G",
                "client_walltime": "00:01:00..02:00:00",
                "client_queue": "short, long",
            },
            "hpc.owner.dora": {"account": "rivers", "max_memory": "2G"},
            "hpc.process.repeat_3": {
                "memory": "512M + 3 * input",
                "max_memory": "4G",
                "walltime": "00:10:00 + 00:01:00 * input / 1K",
                "max_walltime": "01:00:00",
            },
            "hpc.process.joined": {"client_cpus": "", "client_queue": ""},
        },
    ) as found:
        text = (folder / "pywps.cfg").read_text()
        on_slurm = re.sub(r"(?m)^(allow_root|scheduler) *=.*", "", text)
        (folder / "slurm.cfg").write_text(on_slurm.replace("[hpc]\n", "[hpc]\nscheduler = slurm\n"))
        yield found


def render(folder: Path, *arguments: str) -> Result:
    line = ["render", "--config", str(folder / "slurm.cfg"), *arguments]
    return CliRunner().invoke(commands, line)


@pytest.mark.parametrize(
    ("owner", "options", "inputs"),
    [
        ("alice", (), {}),
        ("bob@site.org", (), {}),
        ("carol", (), {}),
        (
            "alice",
            ("--cpus=4", "--memory=4G", "--walltime=00:02:00", "--queue=long"),
            {"cpus": "4", "memory": "4096", "walltime": "120", "queue": "long"},
        ),
        ("carol", ("--cpus=16", "--queue=short"), {"cpus": "16", "queue": "short"}),
    ],
)
def test_it_is_byte_for_byte_what_such_a_job_gets(
    app: InProcessService,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    options: tuple[str, ...],
    inputs: dict[str, str],
) -> None:
    asked = [(f"hpc_{field}", value) for field, value in inputs.items()]
    row = app.row(app.accept(PROCESS, [("text", "a"), *asked], user=owner))
    own = settings.load([folder / "slurm.cfg"])
    scheduler = make_scheduler(own)
    expected = Scripts(own, scheduler.system, scheduler.header).batch_job([row]).script
    monkeypatch.setattr("pywps_hpc.cli.render.new_id", lambda: row.id)
    shown = render(folder, PROCESS, "--owner", owner, *options)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout_bytes == expected.replace(row.digest, "0" * 64).encode()
    plain = render(folder, PROCESS).stdout
    assert plain != shown.stdout
    assert "--account" not in plain


@pytest.mark.parametrize(
    ("owner", "size", "memory", "walltime"),
    [
        ("alice", 0, 512, "00:10:00"),
        ("alice", 1 << 10, 513, "00:11:00"),
        ("alice", 100 << 20, 812, "01:00:00"),
        ("alice", 5 << 30, 4096, "01:00:00"),
        ("dora", 5 << 30, 2048, "01:00:00"),  # an owner's limit bounds the rule, too
    ],
)
def test_rules_count_the_size_of_the_inputs_as_for_such_a_job(
    app: InProcessService,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: str,
    size: int,
    memory: int,
    walltime: str,
) -> None:
    monkeypatch.setattr("pywps_hpc.web.input_references.size_of", lambda *_: size)
    row = app.row(app.accept("repeat_3", [("text", "a")], user=owner))
    assert row.input_size == size
    own = settings.load([folder / "slurm.cfg"])
    scheduler = make_scheduler(own)
    expected = Scripts(own, scheduler.system, scheduler.header).batch_job([row]).script
    monkeypatch.setattr("pywps_hpc.cli.render.new_id", lambda: row.id)
    shown = render(folder, "repeat_3", "--owner", owner, f"--input-size={size}")
    assert shown.exit_code == 0, shown.output
    assert shown.stdout_bytes == expected.replace(row.digest, "0" * 64).encode()
    assert f"--mem={memory}M\n" in shown.stdout
    assert f"={walltime}\n" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((PROCESS, "--cpus=400"), "input hpc_cpus: 400 is not permitted; permitted is 1 to 16"),
        ((PROCESS, "--memory=1M"), "input hpc_memory: 1 is not permitted; permitted is 1024 to"),
        ((PROCESS, "--walltime=03:00:00"), "input hpc_walltime: 10800 is not permitted; permitted"),
        ((PROCESS, "--queue=longer"), "input hpc_queue: longer is not permitted; permitted is one"),
        ((PROCESS, "--owner=alice", "--cpus=9"), "9 is not permitted; permitted is 1 to 8"),
        ((PROCESS, "--owner=bob@site.org", "--queue=long"), "permitted is one of: short"),
        ((PROCESS, "--owner=mallory"), "Your login has no account"),
        ((PROCESS, "--owner=broken"), "[hpc] owner_command: "),
        (("joined", "--cpus=4"), "[hpc.process.joined] client_cpus is not set"),
        (("joined", "--queue=long"), "[hpc.process.joined] client_queue is not set"),
        ((PROCESS, "--walltime=120"), "'120' is not a time; write HH:MM:SS"),
        ((PROCESS, "--cpus=none"), "'none' is not a whole number of at least 1"),
        ((PROCESS, "--input-size=5 apples"), "'5 apples' is not an amount of data; write 512M"),
        (("--job=a", "--owner=alice"), "--job JOB has an owner, resources and inputs of its own"),
        (("--job=a", "--cpus=4"), "--job JOB has an owner, resources and inputs of its own"),
        (("--job=a", "--input-size=4G"), "--job JOB has an owner, resources and inputs of its"),
    ],
)
def test_what_no_such_job_may_have_is_refused_with_what_is_permitted(
    app: InProcessService, folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    ended = render(folder, *arguments)
    assert ended.exit_code != 0
    assert ended.stdout == ""
    assert told in ended.stderr
