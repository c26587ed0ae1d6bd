"""What is probably a mistake in a configuration that works is told at start, in one line each."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wps_client as client
from dispatcher_harness import DispatcherHarness
from in_process_service import InProcessService, open_service
from places import ROOT
from pywps_hpc.settings import ProcessSettings, Settings, read_files
from pywps_hpc.settings.checks import mounts, pywps_sections, warnings
from pywps_hpc.web import pywps_patches


def told(warnings: Iterator[str]) -> list[str]:
    found = list(warnings)
    assert all("\n" not in line for line in found)
    return found


# Names


@pytest.mark.parametrize(
    ("section", "meant"),
    [
        ("hcp.container", "hpc.container"),
        ("HPC", "hpc"),
        ("HPC.container", "hpc.container"),
        ("hpc-container", "hpc.container"),
        ("hpc_resources", "hpc.resources"),
        ("hcp.retentoin", "hpc.retention"),
        ("phc.process.hello", "hpc.process.hello"),
        ("sever", "server"),
        ("loging", "logging"),
        ("metadata.main", "metadata:main"),
    ],
)
def test_a_misspelt_section_is_told(section: str, meant: str) -> None:
    [line] = told(warnings.of_sections({section: {"a": "b"}}))
    assert line == f"[{section}]: unknown section; did you mean [{meant}]?"


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [
        ("server", "allowedinputpath", "allowedinputpaths"),
        ("server", "max_request_size", "maxrequestsize"),
        ("server", "outputsurl", "outputurl"),
        ("processing", "modes", "mode"),
        ("logging", "levle", "level"),
    ],
)
def test_a_misspelt_key_of_pywps_is_told(section: str, key: str, meant: str) -> None:
    [line] = told(warnings.of_sections({section: {key: "x"}}))
    assert line == f"[{section}] {key}: unknown key; did you mean {meant}?"


def test_a_service_s_own_sections_and_keys_are_its_own() -> None:
    own = {
        "odd": {"answer": "x", "mode": "y"},
        "process": {"a": "b"},
        "data": {"path": "/data"},
        "paths": {"outputurl": "x"},
        "server": {"our_catalogue": "x"},
        "hpc.resources": {"memory": "1G"},
        "hpc.process.x": {"memory": "1G"},
    }
    assert told(warnings.of_sections(own)) == []


@pytest.mark.parametrize("name", ["pywps.cfg", "examples/conformance.cfg"])
def test_a_sample_configuration_can_be_read_and_its_keys_are_known(name: str) -> None:
    sample, _ = read_files([ROOT / name])
    assert sample["processing"]["mode"] == "scheduler"
    assert told(warnings.of_sections(sample)) == []


def test_pywps_s_own_keys_are_known() -> None:
    from pywps import configuration

    configuration.load_configuration()
    for section in configuration.CONFIG._sections:
        assert set(configuration.CONFIG._sections[section]) <= set(pywps_sections.PYWPS[section])


def test_a_section_of_a_process_that_there_is_not_is_told() -> None:
    own = Settings(
        spool=Path("/spool"),
        processes={name: ProcessSettings() for name in ("hello", "wrold", "other")},
    )
    lines = told(warnings.of_processes(own, ["hello", "world"]))
    assert lines == [
        "[hpc.process.wrold]: the service has no such process; did you mean [hpc.process.world]?",
        "[hpc.process.other]: the service has no such process",
    ]


# Files, addresses, places


@pytest.mark.parametrize(
    ("section", "key", "text", "secret"),
    [
        ("hpc", "database", "postgresql://wps:geheim@host/name", True),
        ("hpc", "database", "postgresql://wps@host/name", False),
        ("hpc", "database", "postgresql://wps:${PASSWORD}@host/name", False),
        ("logging", "database", "postgresql://a:b@host/name", True),
        ("odd", "api_token", "x", True),
        ("odd", "api_token", "${TOKEN}", False),
        ("odd", "password", "", False),
        ("odd", "colour", "blue", False),
    ],
)
def test_a_file_with_a_password_that_everybody_can_read_is_told(
    tmp_path: Path, section: str, key: str, text: str, secret: bool
) -> None:
    file = tmp_path / "pywps.cfg"
    file.touch()
    for mode, is_open in ((0o600, False), (0o640, False), (0o644, True), (0o604, True)):
        file.chmod(mode)
        lines = told(warnings.of_files([file, tmp_path / "missing"], {section: {key: text}}))
        assert len(lines) == (secret and is_open)
        for line in lines:
            assert line.startswith(f"{file}: ")
            assert f"[{section}] {key}" in line
            assert "geheim" not in line


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://wps.example.org/wps", True),
        ("http://localhost:5000/wps", True),
        ("http://[2001:db8::1]/wps", True),
        ("http://localhost/wps", False),
        ("", False),
        ("/wps", False),
        ("wps.example.org/wps", False),
        ("http:///wps", False),
        ("http://0.0.0.0:5000/wps", False),
        ("http://[::]:5000/wps", False),
    ],
)
def test_an_endpoint_whose_links_lead_nowhere_is_told(url: str, is_good: bool) -> None:
    assert len(told(warnings.of_url(url))) == (not is_good)


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /shared rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /shared/local\040disk rw - xfs /dev/sdb1 rw
32 22 0:31 / /gpfs rw - gpfs gpfs0 rw
33 22 0:32 / /home rw - fuse.sshfs host: rw
34 22 0:33 / /layers rw - fuse.fuse-overlayfs overlay rw
35 22 0:34 / /scratch rw - xfs /dev/sdc rw
36 35 0:35 / /scratch rw - beegfs beegfs_nodev rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/wps", "ext4", False),
        ("/shared/spool", "nfs4", True),
        ("/shared", "nfs4", True),
        ("/sharedness", "ext4", False),
        ("/shared/local disk/spool", "xfs", False),
        ("/gpfs/projects/x", "gpfs", True),
        ("/home/wps", "fuse.sshfs", True),
        ("/layers/x", "fuse.fuse-overlayfs", False),
        ("/scratch/x", "beegfs", True),
    ],
)
def test_network_file_systems_are_known(path: str, kind: str, network: bool) -> None:
    assert mounts.file_system(Path(path), MOUNTS)[1] == kind
    assert mounts.is_network(kind) is network


def test_sqlite_on_a_network_file_system_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Settings(spool=tmp_path)
    monkeypatch.setattr(warnings, "file_system", lambda path, mounts: (str(tmp_path), "nfs4"))
    [line] = told(warnings.of_database(own))
    assert line.startswith("[hpc] database: SQLite in ")
    assert "nfs4" in line
    assert "PostgreSQL" in line
    elsewhere = Settings(spool=tmp_path, database="postgresql+psycopg://a@b/c")
    assert told(warnings.of_database(elsewhere)) == []
    monkeypatch.setattr(warnings, "file_system", lambda path, mounts: ("/", "ext4"))
    assert told(warnings.of_database(own)) == []


# PyWPS


def test_the_pieces_of_this_pywps_are_as_expected() -> None:
    assert pywps_patches.MISMATCHES == ()


def test_a_piece_of_another_pywps_is_told_by_name_and_version() -> None:
    def piece(module: str, name: str, parameters: tuple[str, ...] | None) -> pywps_patches.Piece:
        return pywps_patches.Piece(module, name, "", parameters)

    lines = told(
        pywps_patches.mismatches(
            [
                piece("pywps.app.Process", "Process.set_workdir", ("self", "workdir", "more")),
                piece("pywps.app.Process", "Process.no_such_thing", ("self",)),
                piece("pywps.no_such_module", "thing", None),
                piece("pywps.inout.basic", "UrlHandler.file", None),
            ]
        )
    )
    assert len(lines) == 3
    assert all(re.match(r"PyWPS 4\.8\.\d+: pywps\.", line) for line in lines)
    assert "takes other parameters" in lines[0]
    assert "is not there" in lines[1]
    assert "is not there" in lines[2]


# At start


def test_all_of_it_is_told_at_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sections: dict[str, Any] = {
        "hpc.process.repeat_99": {"memory": "1G"},
        "hcp.container": {"network": "yes"},
        "server": {"allowedinputpath": "/data"},
    }
    with caplog.at_level(logging.WARNING), open_service(tmp_path, **sections) as app:
        lines = [record.getMessage() for record in caplog.records]
        assert "[hcp.container]: unknown section; did you mean [hpc.container]?" in lines
        assert any("did you mean allowedinputpaths?" in line for line in lines)
        caplog.clear()
        for _ in range(2):
            app.get("/wps?service=WPS&request=GetCapabilities")
        warned = [r.getMessage() for r in caplog.records if "no such process" in r.getMessage()]
    assert len(warned) == 1
    assert "[hpc.process.repeat_99]" in warned[0]


def test_each_kind_of_warning_reaches_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pywps_patches, "MISMATCHES", ("a piece of PyWPS is another",))
    for kind in ("of_url", "of_files", "of_database"):
        monkeypatch.setattr(warnings, kind, lambda *_, kind=kind: iter([f"told {kind}"]))
    elsewhere = {"outputurl": "http://elsewhere.example/outputs", "outputpath": tmp_path}
    with caplog.at_level(logging.WARNING), open_service(tmp_path, server=elsewhere):
        lines = [record.getMessage() for record in caplog.records]
    for line in ("told of_url", "told of_files", "told of_database", "a piece of PyWPS is another"):
        assert lines.count(line) == 1
    assert sum(line.startswith("[server] outputurl") for line in lines) == 1


# Small things


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InProcessService]:
    with open_service(tmp_path) as found:
        yield found


def test_an_answer_without_an_exception_leaves_no_empty_trace(
    app: InProcessService, caplog: pytest.LogCaptureFixture
) -> None:
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    answer = app.web.post("/wps", data=document, content_type="text/xml")
    assert answer.status_code == 503  # there is no dispatcher
    assert "the dispatcher is not running" in caplog.text
    assert "NoneType" not in caplog.text


def test_each_step_of_a_job_has_its_id_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harness = DispatcherHarness(tmp_path)
    harness.scheduler.arrays = True
    harness.restart()
    jobs = [harness.accept() for _ in range(3)]
    with caplog.at_level(logging.INFO, "pywps_hpc.dispatch.submission"):
        harness.cycle()
    lines = [record.getMessage() for record in caplog.records]
    for job in jobs:
        row = harness.row(job)
        assert f"{job.id}: submitted as {row.native_id} ({row.name})" in lines
    harness.scheduler.refuse = "no"
    caplog.clear()
    other = harness.accept()
    harness.cycle(later=5)
    assert any(r.getMessage().startswith(f"{other.id}: refused: ") for r in caplog.records)
