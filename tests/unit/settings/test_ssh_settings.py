"""``[hpc.ssh]``: what is refused at start, and in which words."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pywps_hpc import settings
from pywps_hpc.settings import Settings, SettingsError, paths


@pytest.fixture
def sections(tmp_path: Path) -> dict[str, dict[str, str]]:
    for name in ("id", "known_hosts"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    return {
        "hpc": {"spool": str(tmp_path), "scheduler": "slurm", "channel": "ssh"},
        "hpc.ssh": {
            "host": "login.example.org",
            "user": "wps",
            "key": str(tmp_path / "id"),
            "known_hosts": str(tmp_path / "known_hosts"),
        },
        "hpc.container": {"image": "/images/service.sif"},
    }


def build(sections: dict[str, dict[str, str]]) -> Settings:
    return settings.build(sections, "pywps.cfg")


def refusal(sections: dict[str, dict[str, str]]) -> str:
    with pytest.raises(SettingsError) as caught:
        build(sections)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_login_host_is_read(sections: dict[str, dict[str, str]], tmp_path: Path) -> None:
    sections["hpc.ssh"] |= {"port": "2222", "timeout": "5", "path_map": "/spool=/gpfs/spool"}
    own = build(sections)
    assert own.channel == "ssh"
    assert own.ssh == settings.Ssh(
        host="login.example.org",
        port=2222,
        user="wps",
        key=tmp_path / "id",
        known_hosts=tmp_path / "known_hosts",
        timeout=5.0,
        path_map=((Path("/spool"), Path("/gpfs/spool")),),
    )


def test_commands_run_here_unless_told_otherwise(sections: dict[str, dict[str, str]]) -> None:
    del sections["hpc"]["channel"], sections["hpc.ssh"]
    assert build(sections).channel == "local"


@pytest.mark.parametrize("key", ["host", "user", "key", "known_hosts"])
def test_what_a_connection_needs_is_missed_at_start(
    sections: dict[str, dict[str, str]], key: str
) -> None:
    del sections["hpc.ssh"][key]
    assert refusal(sections) == f"pywps.cfg: [hpc.ssh] {key}: is missing (channel = ssh)"


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("strict_host_key_checking", "no", "unknown key"),
        ("known_host", "/x", "unknown key; did you mean known_hosts?"),
        ("port", "70000", "'70000' is not a port (1-65535)"),
        ("host", "two words", "white space"),
        ("key", "/nowhere/id", "/nowhere/id cannot be read: No such file or directory"),
        ("key", "id", "'id' is not an absolute path"),
        ("key", "/", "/ cannot be read: Is a directory"),
        ("timeout", "0", "not a positive number of seconds"),
        ("path_map", "/spool", "not of the form /here=/there"),
        ("path_map", "/spool=gpfs", "'gpfs' is not an absolute path"),
        ("path_map", "/a=/b\n/a=/c", "/a is mapped twice"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(
    sections: dict[str, dict[str, str]], key: str, text: str, words: str
) -> None:
    sections["hpc.ssh"][key] = text
    told = refusal(sections)
    assert told.startswith(f"pywps.cfg: [hpc.ssh] {key}: ")
    assert words in told


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_private_key_that_others_can_read_is_refused_at_start(
    sections: dict[str, dict[str, str]], tmp_path: Path, mode: int
) -> None:
    (tmp_path / "id").chmod(mode)
    assert re.search(
        rf"\[hpc.ssh\] key: .*/id can be (read|changed) by others \(mode {mode:04o}\)",
        refusal(sections),
    )


def test_a_private_key_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "id"
    key.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(key, 4242, -1)
    owner = key.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    assert paths.private_file(str(key)) == key
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ValueError, match="belongs to another account"):
        paths.private_file(str(key))


def test_known_hosts_may_be_read_but_not_changed_by_others(
    sections: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "known_hosts").chmod(0o644)
    assert build(sections).ssh.known_hosts == tmp_path / "known_hosts"
    (tmp_path / "known_hosts").chmod(0o664)
    assert "can be changed by others (mode 0664)" in refusal(sections)


@pytest.mark.parametrize("scheduler", ["local", "drmaa"])
def test_a_scheduler_without_commands_has_no_use_for_ssh(
    sections: dict[str, dict[str, str]], scheduler: str
) -> None:
    sections["hpc"] |= {"scheduler": scheduler, "system": "slurm", "drmaa_library": "/lib/x.so"}
    assert f"[hpc] channel: scheduler = {scheduler}" in refusal(sections)


def test_paths_are_mapped_for_containers_only(sections: dict[str, dict[str, str]]) -> None:
    sections["hpc.ssh"]["path_map"] = "/spool=/gpfs/spool"
    sections["hpc.process.trusted"] = {"runtime": "none"}
    assert "[hpc.ssh] path_map: needs a container ([hpc.process.trusted])" in refusal(sections)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("/spool/job/job.log", "/gpfs/spool/job/job.log"),
        ("/spool", "/gpfs/spool"),
        ("/spool/data/x", "/scratch/x"),  # the longest folder counts, wherever it stands
        ("/spool2/x", "/spool2/x"),
        ("/other", "/other"),
        ("/spool/../etc/x", "/spool/../etc/x"),
        ("/spool//job/./x", "/gpfs/spool/job/x"),
    ],
)
def test_a_path_is_found_where_the_cluster_has_it(here: str, there: str) -> None:
    mapping = paths.path_map("/spool=/gpfs/spool\n/spool/data = /scratch")
    assert paths.map_path(Path(here), mapping) == Path(there)
