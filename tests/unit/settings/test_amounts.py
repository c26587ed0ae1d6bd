"""Rules by the size of the inputs, ranges, types of GPUs, and keys that a system lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

import dialects
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job
from pywps_hpc.settings import Resources, Settings, SettingsError, build, needs, owners
from pywps_hpc.settings.resources import Resources as Fields
from pywps_hpc.systems import SYSTEMS

#: What each batch system is told by the keys that not all of them have.
TOLD = {
    "slurm": {
        "qos": ({"qos": "high"}, "--qos=high"),
        "reservation": ({"reservation": "night"}, "--reservation=night"),
        "licenses": ({"licenses": (("matlab", 2), ("ansys", 1))}, "--licenses=matlab:2,ansys:1"),
        "gpus": ({"gpus": 2, "gpu_type": "a100"}, "--gres=gpu:a100:2"),
    },
    "gridengine": {
        "reservation": ({"reservation": "12"}, "-ar 12"),
        "licenses": ({"licenses": (("matlab", 2),)}, "-l matlab=2"),
    },
    "torque": {"gpus": ({"gpus": 2, "gpu_type": "a100"}, ":gpus=2:a100,")},
    "openpbs": {
        "licenses": ({"licenses": (("matlab", 2),)}, "-l matlab=2"),
        "gpus": ({"gpus": 2, "gpu_type": "a100"}, ":ngpus=2:accelerator_model=a100"),
    },
    "local": {},
}
WRITTEN = {
    "qos": "high",
    "reservation": "night",
    "licenses": "matlab:2",
    "gpus": "a100:2",
}


def settings(folder: Path, resources: str, scheduler: str = "slurm", process: str = "") -> Settings:
    def keys(text: str) -> dict[str, str]:
        pairs = (line.partition(" = ") for line in text.split("\n") if line)
        return {name: value for name, _, value in pairs}

    sections = {
        "hpc": {"spool": str(folder), "scheduler": scheduler},
        "hpc.container": {"runtime": "none"},
        "hpc.resources": keys(resources),
        "hpc.process.p": keys(process),
    }
    return build(sections, "pywps.cfg")


def asked(folder: Path, text: str, process: str = "") -> Resources:
    return settings(folder, text, process=process).for_process("p").resources


def test_a_rule_is_a_constant_and_what_each_byte_of_input_adds(tmp_path: Path) -> None:
    need = asked(
        tmp_path,
        "memory = 2G + 2.5 * input\nmax_memory = 64G\n"
        "walltime = 00:10:00 + 00:01:00 * input / 1G\nmax_walltime = 1-00:00:00",
    )
    assert (need.memory, need.memory_per_input) == (2048, 2.5)
    assert (need.walltime, need.walltime_per_input * 1024) == (600, 60)


def test_a_plain_amount_of_a_process_replaces_the_rule_for_all(tmp_path: Path) -> None:
    rule = "memory = 2G + 3 * input\nmax_memory = 64G\ngpus = a100:2"
    need = asked(tmp_path, rule, process="memory = 4G\ngpus = 1")
    assert (need.memory, need.memory_per_input, need.gpus, need.gpu_type) == (4096, 0.0, 1, "")


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        *(
            (f"memory = {rule}\nmax_memory = 64G", "memory", "")
            for rule in (
                *("2G +", "+ 3 * input", "2G + 3 * inputs", "2G + input * 3", "2G - 3 * input"),
                *("2G + 3 * input + 1", "2G + -3 * input", "2G + 3 ** input", "2G + 1e9 * input"),
                *("2G + 3*input*input", "__import__('os')", "2G + x * input", "2G + 3 * INPUT"),
            )
        ),
        *(
            (f"walltime = {rule}\nmax_walltime = 1-00:00:00", "walltime", "")
            for rule in ("00:10:00 + 3 * input", "00:10:00 + 00:01:00 * input", "00:10:00 + 1")
        ),
        ("memory = 2G + 3 * input", "memory", "set max_memory"),
        ("walltime = 00:10:00 + 00:01:00 * input / 1G", "walltime", "set max_walltime"),
        ("memory = 2G + 3 * input\nmax_memory = 1G", "max_memory", "set it higher"),
        ("gpus = a100", "gpus", "a100:2"),
        ("gpus = a100:0", "gpus", "a100:2"),
        ("gpus = a 1:2", "gpus", "a100:2"),
        ("licenses = matlab:0", "licenses", "NAME:NUMBER"),
        ("licenses = matlab, matlab:2", "licenses", "NAME:NUMBER"),
        ("client_cpus = 16", "client_cpus", "1..16"),
        ("client_cpus = 16..1", "client_cpus", "1..16"),
        ("client_memory = 1G..", "client_memory", "512M or 2G"),
        ("client_walltime = 1..2", "client_walltime", "HH:MM:SS"),
        ("qos = high\nextra = --qos=low", "extra", "key qos"),
        ("qos = high\nextra = -qlow", "extra", "key qos"),
        ("qos = high\nextra = --qo low", "extra", "key qos"),
        ("licenses = m\nextra = -L m:3", "extra", "key licenses"),
    ],
)
def test_what_is_not_understood_is_refused_with_section_and_key(
    tmp_path: Path, text: str, key: str, told: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        asked(tmp_path, text)
    message = str(refusal.value)
    assert message.startswith(f"pywps.cfg: [hpc.resources] {key}: ")
    assert told in message


def test_ranges_are_read_in_the_units_of_their_keys(tmp_path: Path) -> None:
    need = asked(
        tmp_path,
        "client_cpus = 1..16\nclient_memory = 1G .. 64G\nclient_walltime = 00:10:00..1-00:00:00\n"
        "client_queue = short, long",
        process="client_cpus = ",
    )
    assert need.client_cpus is None
    assert need.client_memory == (1024, 65536)
    assert need.client_walltime == (600, 86400)
    assert need.client_queue == ("short", "long")


@pytest.mark.parametrize("system", TOLD)
@pytest.mark.parametrize("key", WRITTEN)
def test_a_system_is_told_or_the_key_is_refused_by_name(
    tmp_path: Path, system: str, key: str
) -> None:
    """Nothing that is set is dropped."""
    text = f"{key} = {WRITTEN[key]}"
    if key in TOLD[system]:
        settings(tmp_path, text, system)
        resources, told = TOLD[system][key]
        assert told in "\n".join(dialects.header(DIALECTS[system](), resources=resources))
        native = DIALECTS[system]().native_specification(dialects_job(resources))
        assert told in native
        return
    with pytest.raises(SettingsError, match=rf"\[hpc.resources\] {key}: is not supported: \w"):
        settings(tmp_path, text, system)


def dialects_job(resources: dict[str, object]) -> dialects.BatchJob:
    return dialects.BatchJob("a1", "", "/d/log", resources=Fields(**resources))


def test_every_system_says_what_it_does_not_support() -> None:
    assert set(TOLD) == {*SYSTEMS, "local"}


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"hpc": {"require_account": "yes"}}, "[hpc] require_account: nobody could send a job"),
        (
            {"hpc.owner.a": {"acount": "x"}},
            "[hpc.owner.a] acount: unknown key; did you mean account?",
        ),
        ({"hpc.owner.": {"account": "x"}}, "[hpc.owner.]: the owner's name is missing"),
        ({"hpc.owner.a": {"account": "x y"}}, "[hpc.owner.a] account: "),
        (
            {"hpc": {"scheduler": "openpbs"}, "hpc.owner.a": {"qos": "high"}},
            "[hpc.owner.a] qos: is not supported: ",
        ),
        (
            {"hpc.owner.a": {"qos": "high"}, "hpc.resources": {"extra": "--qos=low"}},
            "[hpc.resources] extra: --qos: it would hold for every owner",
        ),
        ({"hpc": {"owners_file": "/nowhere/owners"}}, "[hpc] owners_file: /nowhere/owners cannot"),
        ({"hpc": {"owner_command": "/nowhere/who"}}, "[hpc] owner_command: /nowhere/who is not a"),
    ],
)
def test_what_is_told_of_owners_is_refused_with_section_and_key(
    tmp_path: Path, sections: dict[str, dict[str, str]], told: str
) -> None:
    usual = {
        "hpc": {"spool": str(tmp_path), "scheduler": "slurm"},
        "hpc.container": {"runtime": "none"},
    }
    whole = {
        name: {**usual.get(name, {}), **sections.get(name, {})} for name in {**usual, **sections}
    }
    with pytest.raises(SettingsError) as refusal:
        build(whole, "pywps.cfg")
    assert str(refusal.value).startswith(f"pywps.cfg: {told}")


def test_a_file_of_owners_says_what_is_wrong_in_it(tmp_path: Path) -> None:
    file = tmp_path / "owners"
    file.write_text("[a@b.org]\naccount = x\n[c]\nmax_cpus = many\n")
    with pytest.raises(ValueError, match=rf"{file}: \[c\] max_cpus: 'many' is not a whole number"):
        owners.of_file(file)


@pytest.mark.parametrize("text", ["[]", "{", '{"cpus": "4"}', '{"cpus": true}', '{"extra": "x"}'])
def test_a_row_that_this_service_did_not_write_makes_no_script(tmp_path: Path, text: str) -> None:
    own = settings(tmp_path, "cpus = 2")
    job = Job("00000000-0000-4000-8000-000000000000", "w0", "p", "0" * 64, resources=text)
    assert needs.of_job(own, job).resources.cpus == 2
    with pytest.raises(ValueError, match=r"resources|Expecting"):
        Scripts(own, "slurm").batch_job([job])


def test_jobs_that_ask_for_different_things_do_not_share_a_script(tmp_path: Path) -> None:
    own = settings(tmp_path, "memory = 1G + 1 * input\nmax_memory = 4G")

    def key(resources: str = "", size: int = 0) -> str:
        return needs.key(own, Job("i", "w0", "p", "0", resources=resources, input_size=size))

    assert key() == key() == key(size=0)
    assert key(size=1) == key(size=1 << 20)  # both make one MiB more
    assert key(size=1 << 33) == key(size=1 << 34)  # both are at the bound
    assert len({key(), key(size=1 << 20), key(needs.written({"cpus": 4}))}) == 3
