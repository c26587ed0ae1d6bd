"""From a configuration of plain PyWPS to ours: what is translated, what is said, what is not
guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pywps_hpc import settings
from pywps_hpc.cli.main import commands
from pywps_hpc.settings import SettingsError
from pywps_hpc.settings.migration import TODO

DEFAULT = """
[server]
url = https://host/birds/wps
maxprocesses = 30
parallelprocesses = 4
outputpath = /var/lib/pywps/outputs
outputurl = https://host/outputs
maxsingleinputsize = 200mb
[processing]
mode = multiprocessing
[logging]
file = pywps.log
[finch]
grid = a%%b
    and more
"""
#: Keys as birdhouse-emu 1.0.0 has them in its default.cfg.
BIRDHOUSE = """
[metadata:main]
identification_title = Emu
[server]
url = http://localhost:5000/wps
outputurl = http://localhost:5000/outputs
allowedinputpaths = /
maxsingleinputsize = 200mb
maxprocesses = 30
parallelprocesses = 4
[logging]
level = INFO
file = pywps.log
database = sqlite:///pywps-logs.sqlite
format = %(asctime)s] [%(levelname)s] line=%(lineno)s %(message)s
"""
SCHEDULER = """
[server]
url = https://host/wps
workdir = /shared/work
[processing]
mode = scheduler
path = /opt/pywps/bin
drmaa_native_specification = {}
"""


def migrate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands, ["migrate", *map(str, arguments)])


def migrated(folder: Path, old: str, *arguments: str) -> tuple[str, Path]:
    """What a configuration is made into, as text and as a file."""
    (folder / "old.cfg").write_text(old, encoding="utf-8")
    ended = migrate(folder / "old.cfg", *arguments)
    assert ended.exit_code == 0, ended.stderr
    (folder / "new.cfg").write_text(ended.stdout, encoding="utf-8")
    return ended.stdout, folder / "new.cfg"


def test_a_service_of_this_host_stays_on_it(tmp_path: Path) -> None:
    _, file = migrated(tmp_path, DEFAULT, "--spool", str(tmp_path))
    own = settings.load([file])
    assert (own.scheduler, own.slots, own.max_active) == ("local", 4, 34)
    assert own.defaults.container.runtime == "none"
    sections, _ = settings.read_files([file])
    assert sections["processing"]["mode"] == "scheduler"
    assert sections["finch"] == {"grid": "a%%b\nand more"}
    assert sections["server"]["maxsingleinputsize"] == "200mb"
    assert not sections["server"].keys() & {"outputpath", "outputurl", "maxprocesses"}


def test_whatever_changes_is_told_with_its_reason_and_its_file(tmp_path: Path) -> None:
    text, _ = migrated(tmp_path, DEFAULT)
    for left_out in ("outputpath = /var/lib/pywps/outputs", "outputurl = https://host/outputs"):
        assert f"# {left_out} ({tmp_path}/old.cfg)\n" in text
    assert "# Left out: outputs are served beside the endpoint." in text
    assert "# Was: multiprocessing." in text
    assert "parallelprocesses = 4" in text


@pytest.mark.parametrize(
    ("scheduler", "specification", "expected"),
    [
        (
            "slurm",
            "-p batch -A climate --mem=4G --time 02:00:00 -c 4 --constraint=ib --qos high",
            ("batch", "climate", 4096, 7200, 4, ("--constraint=ib", "--qos high")),
        ),
        ("gridengine", "-q all.q -P oceans", ("all.q", "", 2048, 3600, 1, ("-P oceans",))),
        ("torque", "-q batch -A climate", ("batch", "climate", 2048, 3600, 1, ())),
        ("openpbs", "-q batch -A climate", ("batch", "climate", 2048, 3600, 1, ())),
    ],
)
def test_a_native_specification_becomes_keys_and_further_options(
    tmp_path: Path, scheduler: str, specification: str, expected: tuple[object, ...]
) -> None:
    given = ("--scheduler", scheduler, "--spool", str(tmp_path), "--image", "/i.sif")
    _, file = migrated(tmp_path, SCHEDULER.format(specification), *given)
    need = settings.load([file]).defaults.resources
    found = (need.queue or "", need.account or "", need.memory, need.walltime, need.cpus)
    assert (*found, tuple(need.extra)) == expected


def test_what_cannot_be_translated_is_told_and_left_out(tmp_path: Path) -> None:
    given = ("--scheduler", "slurm", "--spool", str(tmp_path), "--image", "/i.sif")
    text, file = migrated(tmp_path, SCHEDULER.format("-N 2 --time=60 -p batch"), *given)
    assert "# Not translated: -N 2: " in text
    assert "# Not translated: --time=60: set it by the key walltime" in text
    need = settings.load([file]).defaults.resources
    assert (need.queue, need.walltime) == ("batch", 3600)


def test_nothing_is_guessed(tmp_path: Path) -> None:
    text, file = migrated(tmp_path, SCHEDULER.format("-p batch"))
    for value in ("spool", "scheduler", "image"):
        assert f"\n{value} = {TODO}\n" in text
    assert "queue" not in settings.read_files([file])[0].get("hpc.resources", {})
    with pytest.raises(SettingsError, match="TODO"):
        settings.load([file])


def test_several_files_count_as_pywps_reads_them(tmp_path: Path) -> None:
    """The configuration that a package brings, and one of the administrator's: birdhouse's way."""
    default, site = tmp_path / "default.cfg", tmp_path / "site.cfg"
    default.write_text(BIRDHOUSE)
    site.write_text("[server]\nurl = https://birds/emu/wps\noutputpath = /srv/out\n")
    ended = migrate(default, site, "--spool", tmp_path)
    assert ended.exit_code == 0, ended.stderr
    file = tmp_path / "new.cfg"
    file.write_text(ended.stdout)
    assert settings.load([file]).url == "https://birds/emu/wps"
    assert f"# outputpath = /srv/out ({site})" in ended.stdout
    assert "/ holds the spool" in ended.stdout
    assert "some values are left to you" in ended.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[hpc]\nspool = /s\n", "has sections of [hpc] already"),
        ("no section", "old.cfg"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_of_no_use_is_told_in_one_line(
    tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "old.cfg"
    if text is not None:
        file.write_text(text)
    ended = migrate(file)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_unknown_batch_system_is_refused(tmp_path: Path) -> None:
    ended = migrate(tmp_path, "--scheduler", "slrum")
    assert ended.exit_code == 2
    assert "slurm" in ended.stderr
