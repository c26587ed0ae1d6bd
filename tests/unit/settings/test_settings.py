"""The configuration: read whole, or refused in one line that names file, section and key."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import ROOT
from pywps_hpc.settings import (
    Container,
    Inputs,
    ProcessSettings,
    Resources,
    Retention,
    Settings,
    SettingsError,
    build,
    load,
    paths,
)
from pywps_hpc.settings import readers as values
from pywps_hpc.settings.model import SECTIONS
from pywps_hpc.settings.paths import Bind

SAMPLE = ROOT / "pywps.cfg"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir()
    return path


def write(folder: Path, text: str, name: str = "pywps.cfg") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def minimal(spool: Path, more: str = "") -> str:
    return f"[hpc]\nspool = {spool}\n[hpc.container]\nruntime = none\n{more}"


def refusal(folder: Path, text: str) -> str:
    """What the administrator reads, without the file's name at the front."""
    path = write(folder, text)
    with pytest.raises(SettingsError) as caught:
        load([path])
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# What is read


def test_a_folder_and_a_runtime_are_enough(spool: Path, tmp_path: Path) -> None:
    own = load([write(tmp_path, minimal(spool))])
    assert own == Settings(
        spool=spool,
        defaults=ProcessSettings(container=Container(runtime="none")),
        processes=own.processes,
    )
    assert dict(own.processes) == {}


@pytest.mark.parametrize("given", ["openpbs", "pbspro"])
def test_a_batch_system_may_have_another_name(spool: Path, tmp_path: Path, given: str) -> None:
    text = minimal(spool).replace("[hpc]\n", f"[hpc]\nscheduler = {given}\n", 1)
    assert load([write(tmp_path, text)]).scheduler == "openpbs"


def test_every_value_gets_its_type(spool: Path, tmp_path: Path) -> None:
    text = f"""
[server]
allowedinputpaths = /data/a:/data/b
[hpc]
spool = {spool}
scheduler = slurm
job_prefix = abc
poll_interval = 0.5
grace = 00:02:00
command_environment =
    SLURM_CONF=/etc/slurm/slurm.conf
    WORDS=a = b
max_active = 20
[hpc.container]
image = /images/service.sif
binds =
    /a
    /b:/c:rw, /d:ro
environment = A=1
network = yes
options =
    --overlay /o.img
    --nv
[hpc.resources]
cpus = 4
memory = 2G
walltime = 1-00:00:01
queue = batch
extra =
    --constraint=ib
"""
    own = load([write(tmp_path, text)])
    assert (own.scheduler, own.job_prefix, own.max_active) == ("slurm", "abc", 20)
    assert (own.poll_interval, own.grace) == (0.5, 120.0)
    assert own.command_environment == {"SLURM_CONF": "/etc/slurm/slurm.conf", "WORDS": "a = b"}
    assert own.input_paths == (Path("/data/a"), Path("/data/b"))
    a, b, c, d = map(Path, ("/a", "/b", "/c", "/d"))
    assert own.defaults.container == Container(
        image=Path("/images/service.sif"),
        binds=(Bind(a, a), Bind(b, c, True), Bind(d, d)),
        environment={"A": "1"},
        network=True,
        options=("--overlay /o.img", "--nv"),
    )
    assert own.defaults.resources == Resources(
        cpus=4, memory=2048, walltime=86401, queue="batch", extra=("--constraint=ib",)
    )


def test_bounds_of_inputs_are_read(spool: Path, tmp_path: Path) -> None:
    text = """[hpc.inputs]
fetch = server
schemes = https, file
allowed_networks = 10.1.0.0/16, data.example.org
    fd00::/8
max_bytes = 512M
total_timeout = 01:00:00
proxy = http://proxy.example.org:3128
"""
    assert load([write(tmp_path, minimal(spool, text))]).inputs == Inputs(
        fetch="server",
        schemes=("https", "file"),
        allowed_networks=("10.1.0.0/16", "data.example.org", "fd00::/8"),
        max_bytes=512 << 20,
        total_timeout=3600.0,
        proxy="http://proxy.example.org:3128",
    )


@pytest.mark.parametrize(
    "line",
    [
        *("fetch = web", "schemes = http, ftp", "max_bytes = 0", "max_bytes = many"),
        *("allowed_networks = 10.1.2.3/8", "allowed_networks = http://a/", "downloads = 0"),
        *("proxy = socks://a:1", "proxy = http://me:secret@proxy:1", "max_inputs = 0"),
    ],
)
def test_bounds_of_inputs_that_make_no_sense_are_refused(
    spool: Path, tmp_path: Path, line: str
) -> None:
    key = line.partition(" ")[0]
    text = refusal(tmp_path, minimal(spool, f"[hpc.inputs]\n{line}\n"))
    assert f"[hpc.inputs] {key}: " in text


def test_an_input_folder_that_holds_the_spool_is_refused(spool: Path, tmp_path: Path) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(spool.parent)
    for folder in (spool, spool.parent, alias):
        text = refusal(tmp_path, minimal(spool, f"[server]\nallowedinputpaths = {folder}\n"))
        assert "[server] allowedinputpaths" in text
        assert "holds the spool" in text


def test_sections_of_others_are_passed_over(spool: Path, tmp_path: Path) -> None:
    others = "[finch]\nfine = yes\n[hpcx]\nnothing = of ours\n[server]\nmaxoperations = 30\n"
    assert load([write(tmp_path, minimal(spool, others))]).spool == spool


def test_variables_of_the_environment_are_filled_in(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", str(spool))
    path = write(tmp_path, "[hpc]\nspool = ${PLACE}\n[hpc.container]\nruntime = none\n")
    assert load([path]).spool == spool


def test_a_percent_sign_is_only_a_percent_sign(spool: Path, tmp_path: Path) -> None:
    text = minimal(spool, "environment = FORMAT=%Y%m%(x)s\n")
    assert load([write(tmp_path, text)]).defaults.container.environment == {"FORMAT": "%Y%m%(x)s"}


def test_the_sample_configuration_is_accepted(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "PYWPS_HPC_URL": "http://localhost/wps",
        "PYWPS_HPC_DATA": "/data",
        "PYWPS_HPC_SPOOL": str(spool),
        "PYWPS_HPC_RUNTIME": "apptainer",
        "PYWPS_HPC_CODE": "/code",
    }
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    own = load([SAMPLE])
    assert own.spool == spool
    assert own.for_process("climate_anomaly") != own.defaults


def test_of_several_files_the_later_one_wins_and_is_named(spool: Path, tmp_path: Path) -> None:
    first = write(tmp_path, minimal(spool, "[hpc.resources]\ncpus = 2\nmemory = 1G\n"))
    second = write(tmp_path, "[hpc.resources]\ncpus = 3\n", "second.cfg")
    resources = load([first, second]).defaults.resources
    assert (resources.cpus, resources.memory) == (3, 1024)
    second.write_text("[hpc.resources]\ncpus = many\n")
    with pytest.raises(SettingsError, match=rf"^{second}: \[hpc\.resources\] cpus: "):
        load([first, second])


def test_the_default_job_table_lies_in_the_spool(spool: Path, tmp_path: Path) -> None:
    own = load([write(tmp_path, minimal(spool))])
    assert own.database_url == f"sqlite:///{spool}/jobs.sqlite"
    text = minimal(spool).replace("[hpc]", "[hpc]\ndatabase = postgresql+psycopg:///jobs")
    assert load([write(tmp_path, text)]).database_url == "postgresql+psycopg:///jobs"


# One process


def test_a_process_changes_what_its_section_sets_and_nothing_else(
    spool: Path, tmp_path: Path
) -> None:
    text = minimal(
        spool,
        "binds = /a\n[hpc.resources]\ncpus = 2\nmemory = 1G\n"
        "[hpc.process.Big One]\nmemory = 8G\nnetwork = yes\nmax_active = 3\n",
    )
    own = load([write(tmp_path, text)])
    usual, big = own.for_process("other"), own.for_process("Big One")
    assert (usual.resources.memory, usual.container.network, usual.max_active) == (1024, False, 0)
    assert (big.resources.memory, big.container.network, big.max_active) == (8192, True, 3)
    assert big.resources.cpus == usual.resources.cpus == 2
    assert big.container.binds == usual.container.binds != ()
    assert own.for_process("big one") == usual


def test_a_process_may_run_without_a_container_alone(spool: Path, tmp_path: Path) -> None:
    text = (
        f"[hpc]\nspool = {spool}\n[hpc.container]\nimage = /i.sif\n"
        "[hpc.process.light]\nruntime = none\n"
    )
    own = load([write(tmp_path, text)])
    assert own.for_process("light").container.runtime == "none"
    assert own.defaults.container.runtime == "apptainer"


# What is refused


def test_an_unknown_key_is_refused_with_the_nearest_one(spool: Path, tmp_path: Path) -> None:
    assert (
        refusal(tmp_path, minimal(spool, "[hpc.resources]\nmemroy = 2G\n"))
        == "[hpc.resources] memroy: unknown key; did you mean memory?"
    )
    assert (
        refusal(tmp_path, minimal(spool, "[hpc.process.x]\nwaltime = 00:10:00\n"))
        == "[hpc.process.x] waltime: unknown key; did you mean walltime?"
    )
    text = minimal(spool).replace("spool =", "max_activ = 3\nspool =")
    assert refusal(tmp_path, text) == "[hpc] max_activ: unknown key; did you mean max_active?"


def test_an_unknown_key_that_resembles_nothing_is_refused(spool: Path, tmp_path: Path) -> None:
    text = minimal(spool, "[hpc.retention]\nqqqq = 1\n")
    assert refusal(tmp_path, text) == "[hpc.retention] qqqq: unknown key; known: age, size"


def test_a_key_of_another_section_is_told_its_place(spool: Path, tmp_path: Path) -> None:
    text = minimal(spool, "[hpc.resources]\nimage = /x.sif\n")
    words = "[hpc.resources] image: unknown key; write it in [hpc.container]"
    assert refusal(tmp_path, text) == words


def test_keys_that_are_no_settings_cannot_be_set(spool: Path, tmp_path: Path) -> None:
    for key in ("defaults", "processes", "input_paths", "ssh"):
        text = minimal(spool).replace("[hpc]\n", f"[hpc]\n{key} = 1\n")
        assert refusal(tmp_path, text).startswith(f"[hpc] {key}: unknown key")


@pytest.mark.parametrize("section", ["hpc.resource", "hpc.process", "hpc.processes.x"])
def test_an_unknown_section_of_ours_is_refused(spool: Path, tmp_path: Path, section: str) -> None:
    words = refusal(tmp_path, minimal(spool, f"[{section}]\nmemory = 2G\n"))
    assert words.startswith(f"[{section}]: unknown section; known: hpc, ")


def test_a_process_section_needs_the_process(spool: Path, tmp_path: Path) -> None:
    words = refusal(tmp_path, minimal(spool, "[hpc.process.]\nmemory = 2G\n"))
    told = "the process identifier is missing; write [hpc.process.IDENTIFIER]"
    assert words == f"[hpc.process.]: {told}"


def test_a_missing_spool_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[hpc.container]\nruntime = none\n") == "[hpc] spool: is missing"


def test_a_spool_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert refusal(tmp_path, minimal(gone)) == (
        f"[hpc] spool: {gone} is not a folder: install -d -m 700 {gone}"
    )


def test_a_spool_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "", "file")
    assert refusal(tmp_path, minimal(path)) == (
        f"[hpc] spool: {path} is not a folder, but a file; name a folder"
    )


def test_templates_that_do_not_exist_are_refused(spool: Path, tmp_path: Path) -> None:
    text = minimal(spool).replace("[hpc]\n", "[hpc]\ntemplates = /nowhere/at/all\n")
    assert refusal(tmp_path, text) == "[hpc] templates: /nowhere/at/all is not a folder"


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("hpc", "spool"),
        ("hpc", "templates"),
        ("hpc.container", "image"),
        ("hpc.container", "python"),
        ("hpc.process.x", "image"),
    ],
)
def test_a_relative_path_is_refused(spool: Path, tmp_path: Path, section: str, key: str) -> None:
    text = {"hpc": f"spool = {spool}\n", "hpc.container": "runtime = none\n"}
    line = f"{key} = relative/path\n"
    text[section] = line if key == "spool" else text.get(section, "") + line
    content = "".join(f"[{name}]\n{body}" for name, body in text.items())
    words = f"[{section}] {key}: 'relative/path' is not an absolute path"
    assert refusal(tmp_path, content) == words


def test_relative_input_paths_are_refused(spool: Path, tmp_path: Path) -> None:
    words = refusal(tmp_path, minimal(spool, "[server]\nallowedinputpaths = /a:b\n"))
    assert words == "[server] allowedinputpaths: 'b' is not an absolute path"


def test_a_container_needs_an_image(spool: Path, tmp_path: Path) -> None:
    assert (
        refusal(tmp_path, f"[hpc]\nspool = {spool}\n")
        == "[hpc.container] image: is missing (runtime = apptainer)"
    )
    text = minimal(spool, "[hpc.process.heavy]\nruntime = singularity\n")
    assert (
        refusal(tmp_path, text) == "[hpc.process.heavy] image: is missing (runtime = singularity)"
    )


@pytest.mark.parametrize(
    ("section", "line", "words"),
    [
        (
            "hpc",
            "scheduler = pbs",
            "'pbs' is not one of: local, slurm, gridengine, torque, openpbs, drmaa",
        ),
        ("hpc", "poll_interval = 0", "'0' is not a positive number of seconds"),
        ("hpc", "grace = soon", "'soon' is not a positive number of seconds"),
        ("hpc", "grace = nan", "'nan' is not a positive number of seconds"),
        ("hpc", "slots = -1", "'-1' is not a whole number of at least 0"),
        ("hpc", "retry_after = 1.5", "'1.5' is not a whole number of at least 1"),
        ("hpc", "job_prefix = 1a", "'1a' is not one to three letters a-z"),
        ("hpc", "command_environment = A", "'A' is not of the form NAME=value"),
        ("hpc", "command_environment = A B=1", "'A B=1' is not of the form NAME=value"),
        ("hpc.container", "network = perhaps", "'perhaps' is neither yes nor no"),
        ("hpc.container", "binds = /a:/b:/c", "'/a:/b:/c' is not of the form"),
        ("hpc.container", "binds = a:/b", "'a' is not an absolute path"),
        ("hpc.resources", "cpus = 0", "'0' is not a whole number of at least 1"),
        ("hpc.resources", "memory = 2 GX", "'2 GX' is not an amount of memory"),
        ("hpc.resources", "memory = 0", "'0' is not an amount of memory"),
        ("hpc.resources", "walltime = 60", "'60' is not a time; write HH:MM:SS"),
        ("hpc.resources", "walltime = 00:00:00", "a walltime of zero"),
        ("hpc.resources", "queue = a b", "'a b' has white space in it"),
        ("hpc.resources", "account = a\tb", "control characters are not allowed"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_in_words(
    spool: Path, tmp_path: Path, section: str, line: str, words: str
) -> None:
    text = {"hpc": f"spool = {spool}\n", "hpc.container": "runtime = none\n"}
    text[section] = text.get(section, "") + line + "\n"
    content = "".join(f"[{name}]\n{body}" for name, body in text.items())
    key = line.partition(" =")[0]
    assert refusal(tmp_path, content).startswith(f"[{section}] {key}: {words}")


def test_an_unset_variable_is_seen_in_the_message(tmp_path: Path) -> None:
    words = refusal(tmp_path, "[hpc]\nspool = ${SURELY_NOT_SET}\n")
    assert words == "[hpc] spool: '${SURELY_NOT_SET}' is not an absolute path"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    gone = tmp_path / "gone.cfg"
    with pytest.raises(SettingsError, match=rf"^{gone}: cannot be read: No such file"):
        load([gone])


@pytest.mark.parametrize("text", ["no section\n", "[hpc]\na = 1\na = 2\n", "[hpc\n"])
def test_a_file_that_is_not_in_ini_form_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pywps.cfg"
    path.write_bytes(b"[hpc]\nspool = \xff\xfe\n")
    with pytest.raises(SettingsError, match=rf"^{path}: "):
        load([path])


def test_no_file_at_all_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match="no configuration file given"):
        load([])


# The object


def test_settings_cannot_be_changed_afterwards(spool: Path, tmp_path: Path) -> None:
    own = load([write(tmp_path, minimal(spool, "[hpc.process.x]\ncpus = 2\n"))])
    with pytest.raises(AttributeError):
        own.grace = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        own.processes["y"] = own.defaults  # type: ignore[index]


def test_every_field_is_explained() -> None:
    for cls in (*SECTIONS.values(), ProcessSettings):
        for own in fields(cls):
            explained = "key" in own.metadata or own.name in (cls.__doc__ or "")
            assert explained, f"{cls.__name__}.{own.name}"


# Values


@given(st.integers(1, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_times_are_read_in_seconds(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert values.walltime(f"{days}-{hours:02}:{minutes:02}:{seconds:02}") == total
    assert values.walltime(f"{days * 24 + hours}:{minutes:02}:{seconds:02}") == total


@pytest.mark.parametrize("text", ["", "10", "1:2", "00:60:00", "00:00:60", "1-1", "-1:00:00", "x"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        values.walltime(text)


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [("512", 512), ("512M", 512), ("2G", 2048), ("2GiB", 2048), ("2 gb", 2048), ("1T", 1048576),
     ("2048K", 2)],
)  # fmt: skip
def test_amounts_of_memory_are_read_in_mebibytes(text: str, mebibytes: int) -> None:
    assert values.memory(text) == mebibytes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("90s", 90.0), ("1.5h", 5400.0), ("30 min", 1800.0), ("7d", 604800.0),
     ("2w", 1209600.0), ("6mo", 6 * 31 * 86400.0), ("1y", 366 * 86400.0)],
)  # fmt: skip
def test_lengths_of_time_say_their_unit(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0d", "7 days", "7d 3h", "1e3s", "nan"])
def test_other_lengths_of_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a length of time"):
        values.duration(text)


@pytest.mark.parametrize("text", ["6m", "6 m", "1.5m"])
def test_a_period_in_months_is_never_mistaken_for_minutes(text: str) -> None:
    with pytest.raises(ValueError, match=r"may mean minutes or months; write [\d.]+min for"):
        values.duration(text)


def test_a_bound_of_zero_is_none() -> None:
    assert (values.bound("0"), values.bound("100G")) == (0, 100 << 30)
    with pytest.raises(ValueError, match="amount of data"):
        values.bound("0M")


@pytest.mark.parametrize("url", ["mysql://me:secret@host/jobs", "sqlite://", "secret", "postgres:"])
def test_other_databases_are_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ValueError, match="write sqlite:///") as caught:
        values.database(url)
    assert "secret" not in str(caught.value)


def test_retention_and_limits_are_read(spool: Path, tmp_path: Path) -> None:
    text = minimal(spool).replace(
        "[hpc]",
        "[hpc.retention]\nage = 4w\nsize = 500G\n[hpc]\nmax_active_per_owner = 5\n"
        "max_dump_size = 64M\nmax_output_size = 2G\ndatabase_timeout = 3",
    )
    own = load([write(tmp_path, text)])
    assert own.retention == Retention(28 * 86400.0, 500 << 30)
    assert (own.max_active_per_owner, own.database_timeout) == (5, 3.0)
    assert (own.max_dump_size, own.max_output_size) == (64 << 20, 2 << 30)
    assert Settings(spool=spool).retention == Retention(0.0, 0), "kept for ever unless asked"


@given(st.text(max_size=30))
def test_readers_of_values_raise_nothing_but_value_errors(text: str) -> None:
    readers = [
        values.text, values.word, values.integer(0), values.seconds, values.walltime,
        values.memory, values.boolean, values.choice("a"), paths.absolute_path, values.lines,
        values.variables, paths.binds, values.job_prefix, paths.paths, values.size,
        values.choices("a"), values.networks, values.proxy, values.bound, values.duration,
        values.database,
    ]  # fmt: skip
    for read in readers:
        with contextlib.suppress(ValueError):
            read(text)


def test_sections_can_be_given_as_they_are(spool: Path) -> None:
    sections = {"hpc": {"spool": str(spool), "nope": "1"}, "hpc.container": {"runtime": "none"}}
    with pytest.raises(SettingsError, match=r"^the service: \[hpc\] nope: unknown key"):
        build(sections, "the service")
