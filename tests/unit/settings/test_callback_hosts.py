"""Who may be called back: off by default, allowed by name or network, never by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from joblauncher.inputs.policy import Refused
from pywps_hpc import callbacks
from pywps_hpc.settings import Settings, SettingsError, loader
from pywps_hpc.settings.sections import Callbacks


def settings(*hosts: str) -> Settings:
    return Settings(
        spool=Path("/spool"), callbacks=Callbacks(hosts), url="https://me.example.org/wps"
    )


HERE = ("hooks.example.org", "10.1.0.0/16", "192.0.2.7")


@pytest.mark.parametrize(
    ("hosts", "url", "is_allowed"),
    [
        (HERE, "https://hooks.example.org/a", True),
        (HERE, "https://hooks.example.org./a", True),
        (HERE, "https://HOOKS.example.org:8443/a?b", True),
        (HERE, "http://10.1.2.3/", True),
        (HERE, "http://192.0.2.7/", True),
        (HERE, "http://10.2.2.3/", False),
        (HERE, "http://8.8.8.8/", False),
        (HERE, "http://[2001:4860:4860::8888]/", False),
        (("hooks.example.org",), "http://other.example.org/", False),
        (HERE, "http://other.example.org/", False),
        (("*",), "http://other.example.org/", True),
        (("*",), "http://8.8.8.8/", True),
        (("*",), "http://127.0.0.1/", False),
        (("*",), "http://169.254.169.254/", False),
        (("*",), "http://10.1.2.3/", False),
        (("*",), "http://me.example.org/", False),
        (("*", "10.1.0.0/16"), "http://10.1.2.3/", True),
        (HERE, "ftp://hooks.example.org/", False),
        (HERE, "file:///etc/passwd", False),
        ((), "http://8.8.8.8/", False),
        ((), "http://hooks.example.org/", False),
    ],
)
def test_an_address_is_told_only_if_it_is_allowed(
    hosts: tuple[str, ...], url: str, is_allowed: bool
) -> None:
    if is_allowed:
        callbacks.check(url, settings(*hosts))
    else:
        with pytest.raises(Refused):
            callbacks.check(url, settings(*hosts))


def load(folder: Path, section: str) -> Settings:
    spool = folder / "spool"
    spool.mkdir(mode=0o700, exist_ok=True)
    file = folder / "pywps.cfg"
    file.write_text(
        f"[hpc]\nspool = {spool}\n[hpc.container]\nruntime = none\n[hpc.callbacks]\n{section}\n"
    )
    return loader.load([file])


def secret(folder: Path, content: str = "0123456789abcdef", mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_text(content)
    file.chmod(mode)
    return file


def test_hosts_and_their_secret_are_read(tmp_path: Path) -> None:
    file = secret(tmp_path)
    found = load(tmp_path, f"hosts = a.example.org, 10.0.0.0/8 *\nsecret = {file}").callbacks
    assert found == Callbacks(("a.example.org", "10.0.0.0/8", "*"), file)
    assert load(tmp_path, "").callbacks == Callbacks()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("0123456789abcdef", 0o644, "can be read by others"),
        ("short", 0o600, "has less than 16 bytes"),
        (None, 0, r"is missing \(hosts is set\): name a file with a secret"),
    ],
)
def test_a_service_that_calls_back_has_a_secret_of_its_own(
    tmp_path: Path, content: str | None, mode: int, words: str
) -> None:
    line = "" if content is None else f"secret = {secret(tmp_path, content, mode)}"
    with pytest.raises(SettingsError, match=rf"\[hpc.callbacks\] secret: .*{words}"):
        load(tmp_path, f"hosts = a.example.org\n{line}")


@pytest.mark.parametrize("hosts", ["http://a.example.org/", "10.0.0.1/8", "a b/c", "**"])
def test_hosts_that_are_none_are_refused(tmp_path: Path, hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"\[hpc.callbacks\] hosts: "):
        load(tmp_path, f"hosts = {hosts}\nsecret = {secret(tmp_path)}")
