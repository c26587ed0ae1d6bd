"""The command that starts a job's launcher: what the job may see, and nothing besides."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from joblauncher.shared.jobdir import JobDir
from pywps_hpc.dispatch.scripts.launch import Launch
from pywps_hpc.dispatch.scripts.runtimes import launch
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings, Ssh
from pywps_hpc.settings.paths import Bind

JOB = JobDir(Path("/shared/spool/00000000-0000-4000-8000-000000000001"))
IMAGE = Path("/images/service.sif")
DEFAULT, LITTLE = Container(image=IMAGE), Resources()


def make(
    container: Container = DEFAULT,
    *,
    resources: Resources = LITTLE,
    job: JobDir = JOB,
    **whole: Any,
) -> Launch:
    settings = Settings(spool=job.path.parent, **whole)
    return launch(job, ProcessSettings(resources, container), settings)


def words(made: Launch) -> list[str]:
    return [*made.program, *itertools.chain(*made.arguments)]


def binds(made: Launch) -> list[str]:
    """In the order of mounting."""
    line = words(made)
    return [line[i + 1] for i, word in enumerate(line) if word == "--bind"]


def test_a_job_sees_its_own_folder_and_nothing_else_by_default() -> None:
    made = make()
    assert made.program == ("apptainer", "exec")
    assert {"--containall", "--cleanenv", "--no-home", "--no-privs"} <= set(words(made))
    assert binds(made) == [
        f"{JOB.path}:{JOB.path}:rw",
        f"{JOB.dump}:{JOB.dump}:ro",
        f"{JOB.log}:{JOB.log}:ro",
        f"{JOB.inputs}:{JOB.inputs}:ro",
    ]


def test_the_network_is_off_unless_allowed() -> None:
    off = words(make())
    at = off.index("--network")
    assert off[at - 1 : at + 2] == ["--net", "--network", "none"]
    on = words(make(Container(image=IMAGE, network=True)))
    assert "--net" not in on
    assert "--network" not in on


def test_the_image_is_followed_by_the_launcher_alone() -> None:
    line = words(make())
    assert line[line.index(str(IMAGE)) + 1 :] == ["python3", "-I", "-m", "joblauncher"]


def test_the_interpreter_in_the_image_can_be_chosen() -> None:
    line = words(make(Container(image=IMAGE, python=Path("/opt/bin/python"))))
    assert line[line.index(str(IMAGE)) + 1] == "/opt/bin/python"


def test_inputs_and_modules_are_shown_read_only_below_the_job_s_own_folder() -> None:
    container = Container(image=IMAGE, python_path=(Path("/code"),))
    made = make(container, input_paths=(Path("/data/in"),))
    assert binds(made)[:2] == ["/data/in:/data/in:ro", "/code:/code:ro"]
    assert binds(made)[-4:] == binds(make())
    assert words(made)[-2:] == ["--path", "/code"]


def test_declared_binds_are_read_only_unless_declared_writable() -> None:
    own = (Bind(Path("/a"), Path("/b")), Bind(Path("/c"), Path("/c"), writable=True))
    assert binds(make(Container(image=IMAGE, binds=own)))[:2] == ["/a:/b:ro", "/c:/c:rw"]


@pytest.mark.parametrize("folder", ["/", "/shared", "/shared/spool", "/shared/../shared/spool"])
def test_no_job_may_see_the_others_folders(folder: str) -> None:
    bind = Bind(Path(folder), Path("/inside"))
    with pytest.raises(ValueError, match="spool"):
        make(Container(image=IMAGE, binds=(bind,)))
    with pytest.raises(ValueError, match="spool"):
        make(input_paths=(Path(folder),))
    with pytest.raises(ValueError, match="spool"):
        make(Container(image=IMAGE, python_path=(Path(folder),)))


def test_a_folder_whose_name_only_begins_like_the_spool_s_may_be_shown() -> None:
    assert "/shared/spool2:/shared/spool2:ro" in binds(make(input_paths=(Path("/shared/spool2"),)))


@pytest.mark.parametrize("path", ["/a:b", "/a,b", '/a"b', "/a\\b"])
def test_a_path_that_the_runtime_would_misread_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cannot be bound"):
        make(input_paths=(Path(path),))
    with pytest.raises(ValueError, match="cannot be bound"):
        make(job=JobDir(Path(path) / JOB.job_id))


def test_folders_of_this_host_are_shown_under_their_paths_here() -> None:
    ssh = Ssh(path_map=((Path("/shared"), Path("/lustre/project")),))
    container = Container(image=IMAGE, binds=(Bind(Path("/lustre/x"), Path("/x")),))
    made = make(container, ssh=ssh, input_paths=(Path("/shared/in"), Path("/data")))
    assert binds(made) == [
        "/lustre/project/in:/shared/in:ro",
        "/data:/data:ro",
        "/lustre/x:/x:ro",
        f"/lustre/project/spool/{JOB.job_id}:{JOB.path}:rw",
        f"/lustre/project/spool/{JOB.job_id}/job.dump:{JOB.dump}:ro",
        f"/lustre/project/spool/{JOB.job_id}/job.log:{JOB.log}:ro",
        f"/lustre/project/spool/{JOB.job_id}/inputs:{JOB.inputs}:ro",
    ]
    with pytest.raises(ValueError, match="spool"):
        make(Container(image=IMAGE, binds=(Bind(Path("/lustre"), Path("/x")),)), ssh=ssh)


def test_variables_reach_the_container_unread() -> None:
    made = make(Container(image=IMAGE, environment={"PLACES": "0,1", "WORDS": "$(id) `id`"}))
    assert made.exports["APPTAINERENV_PLACES"] == "0,1"
    assert made.exports["APPTAINERENV_WORDS"] == "$(id) `id`"
    assert made.exports["APPTAINER_NO_EVAL"] == "1"
    assert not any("PLACES" in word for word in words(made))


def test_singularity_has_names_of_its_own() -> None:
    made = make(Container(runtime="singularity", image=IMAGE, environment={"A": "b"}))
    assert made.program == ("singularity", "exec")
    assert made.exports["SINGULARITYENV_A"] == "b"
    assert made.exports["SINGULARITY_NO_EVAL"] == "1"


def test_numeric_libraries_are_told_how_many_cores_are_theirs() -> None:
    assert make(resources=Resources(cpus=4)).exports["APPTAINERENV_OMP_NUM_THREADS"] == "4"
    own = Container(image=IMAGE, environment={"OMP_NUM_THREADS": "2"})
    assert make(own).exports["APPTAINERENV_OMP_NUM_THREADS"] == "2"


def test_graphics_processors_come_with_their_driver_and_number() -> None:
    assert "--nv" not in words(make())
    assert make().inherited == ()
    made = make(resources=Resources(gpus=1))
    assert "--nv" in words(made)
    assert made.inherited == ("CUDA_VISIBLE_DEVICES",)


def test_options_of_the_administrator_are_words_of_a_shell() -> None:
    made = make(Container(image=IMAGE, options=("--overlay /o.img", "--security='a b'")))
    assert ("--overlay", "/o.img") in made.arguments
    assert ("--security=a b",) in made.arguments


def test_without_a_runtime_a_job_gets_the_declared_environment_only() -> None:
    container = Container(runtime="none", environment={"A": "b c", "PATH": "/opt/bin"})
    made = make(container, resources=Resources(cpus=3))
    line = words(made)
    assert line[:2] == ["env", "-i"]
    assert set(line[2:-4]) == {
        f"HOME={JOB.temporary}",
        "LANG=C.UTF-8",
        "OMP_NUM_THREADS=3",
        "A=b c",
        "PATH=/opt/bin",
    }
    assert line[-4:] == [sys.executable, "-I", "-m", "joblauncher"]
    assert made.exports == {}


def test_a_container_without_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="image"):
        make(Container())


def test_nothing_is_looked_up_on_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the command is for another host")

    for owner, name in [(os, "stat"), (os, "listdir"), (os, "readlink"), (subprocess, "Popen")]:
        monkeypatch.setattr(owner, name, refuse)
    container = Container(image=IMAGE, binds=(Bind(Path("/nowhere"), Path("/nowhere")),))
    made = make(container, input_paths=(Path("/no/such/folder"),))
    monkeypatch.undo()
    assert "/nowhere:/nowhere:ro" in binds(made)


def test_a_job_s_settings_do_not_leak_into_another_s() -> None:
    container = Container(image=IMAGE, environment={"A": "b"})
    before = dataclasses.replace(container)
    first, second = make(container), make(container)
    assert first == second
    assert container == before
