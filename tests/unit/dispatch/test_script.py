"""The batch script: readable, whole, and the same whatever a client sent."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from joblauncher.shared.pilotdir import PilotDir
from pywps_hpc import package_data
from pywps_hpc.dispatch.schedulers.base import BatchJob
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.dispatch.schedulers.registry import make_scheduler
from pywps_hpc.dispatch.scripts.script import Scripts, environment, quote
from pywps_hpc.jobs import ControlRequest, Job, State
from pywps_hpc.settings import (
    Container,
    ProcessSettings,
    Resources,
    Settings,
    SettingsError,
    Ssh,
    needs,
)
from pywps_hpc.settings.paths import Bind

ID = "11111111-2222-4333-8444-555555555555"
JOB = Job(ID, "w11111111222243", "hello", "ab" * 32)
APPTAINER = ProcessSettings(
    Resources(memory=1024, walltime=600, queue="batch"),
    Container(
        image=Path("/images/service.sif"),
        python_path=(Path("/shared/our service"),),
        environment={"PLACES": "0,1 $(id)"},
    ),
)
BARE = ProcessSettings(
    Resources(cpus=2, gpus=1), Container(runtime="none", python=Path("/opt/v/bin/python"))
)


def settings(process: ProcessSettings = APPTAINER, **more: object) -> Settings:
    facts = {"spool": Path("/shared/spool"), "defaults": process} | more
    return Settings(**facts)  # type: ignore[arg-type]


def scripts(own: Settings, system: str = "slurm") -> Scripts:
    return (
        Scripts(own, "slurm", SlurmDialect().header) if system == "slurm" else Scripts(own, system)
    )


def render(own: Settings, system: str = "slurm", job: Job = JOB) -> BatchJob:
    return scripts(own, system).batch_job([job])


SLURM = f"""\
#!/bin/sh
#SBATCH --job-name=w11111111222243
#
# One job of a PyWPS service, written by pywps-hpc. The batch system runs its own
# copy; this file is for people.

# Only the dump with this SHA-256 will run.
job_id={ID}
digest={"ab" * 32}
job_dir=/shared/spool/"$job_id"
# Counts up when Slurm starts the job again (sbatch(1), SLURM_RESTART_COUNT).
attempt=${{SLURM_RESTART_COUNT:-0}}

umask 077
# sbatch was told --export=NONE, which srun would take for itself (srun(1), SLURM_EXPORT_ENV).
export SLURM_EXPORT_ENV=ALL
export APPTAINERENV_LANG=C.UTF-8
export APPTAINERENV_OMP_NUM_THREADS=1
export APPTAINERENV_PLACES='0,1 $(id)'
export APPTAINER_NO_EVAL=1

cd /shared/spool/"$job_id" || exit 72  # the shared file system is missing on this node
: >> job.log  # the container shows it; some batch systems make it only at the end
[ -d inputs ] || exit 72  # its inputs are missing, or the job has already ended
uname -n > node  # where to look if the container does not start
exec apptainer exec \\
  --containall --cleanenv --no-home --no-privs \\
  --net --network none \\
  --bind '/shared/our service:/shared/our service:ro' \\
  --bind /shared/spool/"$job_id":/shared/spool/"$job_id":rw \\
  --bind /shared/spool/"$job_id"/job.dump:/shared/spool/"$job_id"/job.dump:ro \\
  --bind /shared/spool/"$job_id"/job.log:/shared/spool/"$job_id"/job.log:ro \\
  --bind /shared/spool/"$job_id"/inputs:/shared/spool/"$job_id"/inputs:ro \\
  --home /shared/spool/"$job_id"/tmp \\
  --pwd /shared/spool/"$job_id" \\
  /images/service.sif \\
  python3 -I -m joblauncher \\
  --path '/shared/our service' \\
  --digest "$digest" --attempt "$attempt" "$job_dir"
"""

LOCAL = f"""\
#!/bin/sh
# Runs on the service's own host, under pywps-hpc's embedded scheduler.
#
# One job of a PyWPS service, written by pywps-hpc. The batch system runs its own
# copy; this file is for people.

# Only the dump with this SHA-256 will run.
job_id={ID}
digest={"ab" * 32}
job_dir=/shared/spool/"$job_id"
# The batch system starts this job once.
attempt=0

umask 077

cd /shared/spool/"$job_id" || exit 72  # the shared file system is missing on this node
exec env -i \\
  ${{CUDA_VISIBLE_DEVICES+"CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES"}} \\
  ${{PYWPS_HPC_LOCAL_JOB+"PYWPS_HPC_LOCAL_JOB=$PYWPS_HPC_LOCAL_JOB"}} \\
  PATH=/usr/local/bin:/usr/bin:/bin \\
  HOME=/shared/spool/"$job_id"/tmp \\
  LANG=C.UTF-8 \\
  OMP_NUM_THREADS=2 \\
  /opt/v/bin/python -I -m joblauncher \\
  --digest "$digest" --attempt "$attempt" "$job_dir"
"""


def test_a_slurm_script_reads_like_one_that_a_person_wrote() -> None:
    own = settings()
    name_only = Scripts(own, "slurm", lambda job: [f"#SBATCH --job-name={job.name}"])
    assert name_only.batch_job([JOB]).script == SLURM


def test_a_local_script_reads_like_one_that_a_person_wrote() -> None:
    assert render(settings(BARE), "local").script == LOCAL


def test_the_batch_system_learns_what_the_job_needs() -> None:
    batch = render(settings())
    assert batch.resources == APPTAINER.resources
    assert batch.script.splitlines()[1 : 1 + len(SlurmDialect().header(batch))] == list(
        SlurmDialect().header(batch)
    )
    assert "#SBATCH --mem=1024M" in batch.script
    assert "#SBATCH --partition=batch" in batch.script


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize("system", ["slurm", "local"])
@pytest.mark.parametrize("process", [APPTAINER, BARE])
def test_shells_can_read_every_script(
    tmp_path: Path, shell: str, system: str, process: ProcessSettings
) -> None:
    for gpus in (0, 2):
        needs = dataclasses.replace(process.resources, gpus=gpus)
        own = settings(dataclasses.replace(process, resources=needs))
        script = tmp_path / "job.sh"
        script.write_text(render(own, system).script)
        subprocess.run([shell, "-n", str(script)], check=True)


def test_the_script_runs_the_command_with_every_value_whole(tmp_path: Path) -> None:
    """Run for real, with a program in place of Apptainer that tells what it was given."""
    odd = tmp_path / "a place with 'quotes' $HOME; *"
    spool = odd / "spool"
    inputs = spool / ID / "inputs"
    inputs.mkdir(parents=True)
    tool = tmp_path / "bin" / "apptainer"
    tool.parent.mkdir()
    shown = '"$APPTAINERENV_WORDS" "$APPTAINERENV_CUDA_VISIBLE_DEVICES" "$@"'
    tool.write_text(f"#!/bin/sh\numask\npwd\nprintf '%s\\n' {shown}\n")
    tool.chmod(0o755)
    words = "a 'b' \"c\" $(id) `id` \\ ; é 0,1"
    process = ProcessSettings(
        Resources(gpus=1),
        Container(image=odd / "image.sif", environment={"WORDS": words}),
    )
    script = tmp_path / "job.sh"
    script.write_text(render(settings(process, spool=spool), "slurm").script)
    path = f"{tool.parent}:/usr/bin:/bin"
    given = {"PATH": path, "SLURM_RESTART_COUNT": "3", "CUDA_VISIBLE_DEVICES": "1,2"}
    answer = subprocess.run(
        ["sh", str(script)], env=given, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert answer[:4] == ["0077", str(spool / ID), words, "1,2"]
    argv = answer[4:]
    assert argv[0] == "exec"
    assert str(odd / "image.sif") in argv
    assert f"{spool / ID}:{spool / ID}:rw" in argv
    assert argv[-6:] == [
        "joblauncher", "--digest", "ab" * 32, "--attempt", "3", str(spool / ID),
    ]  # fmt: skip
    # A second copy that starts when the job is over and tidied up makes no new folder.
    inputs.rmdir()
    assert subprocess.run(["sh", str(script)], env=given, check=False).returncode == 72
    assert not inputs.exists()


@pytest.mark.parametrize(
    ("system", "variable"),
    [("gridengine", "JOB_ID"), ("torque", "PBS_JOBID"), ("openpbs", "PBS_JOBID")],
)
def test_starts_are_counted_where_the_batch_system_does_not_say(
    tmp_path: Path, system: str, variable: str
) -> None:
    (tmp_path / ID).mkdir()
    tool = tmp_path / "python"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    container = Container(runtime="none", python=tool)
    attempts = []
    for requeue in (False, True):
        process = ProcessSettings(Resources(requeue=requeue), container)
        script = tmp_path / "job.sh"
        script.write_text(render(settings(process, spool=tmp_path), system).script)
        for native_id in ("7[1]", "7[1]", "7[1]", "8"):
            environment = {"PATH": "/usr/bin:/bin", variable: native_id}
            line = ["sh", str(script)]
            answer = subprocess.run(line, env=environment, capture_output=True, check=True).stdout
            attempts.append(answer.decode().split()[-2])
    # Another submission of the same job begins anew, and finds that its first start is taken.
    assert attempts == ["0", "0", "0", "0", "0", "1", "2", "0"]


def test_without_a_container_nothing_of_the_node_s_environment_reaches_the_job(
    tmp_path: Path,
) -> None:
    (tmp_path / ID).mkdir()
    tool = tmp_path / "python"
    tool.write_text("#!/bin/sh\nenv\n")
    tool.chmod(0o755)
    container = Container(runtime="none", python=tool, environment={"WORDS": "two words"})
    script = tmp_path / "job.sh"
    script.write_text(
        render(settings(ProcessSettings(container=container), spool=tmp_path), "slurm").script
    )
    given = {"PATH": "/usr/bin:/bin", "SECRET": "x", "CUDA_VISIBLE_DEVICES": "1"}
    answer = subprocess.run(
        ["sh", str(script)], env=given, capture_output=True, text=True, check=True
    ).stdout
    found = dict(line.split("=", 1) for line in answer.splitlines())
    assert found.keys() <= {
        "PATH", "HOME", "LANG", "OMP_NUM_THREADS", "WORDS", "PWD", "SHLVL", "_",
    }  # fmt: skip
    assert found["WORDS"] == "two words"
    assert found["HOME"] == str(tmp_path / ID / "tmp")


def test_a_node_without_the_shared_folder_says_so_by_its_exit_code(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text(render(settings(BARE, spool=tmp_path / "missing"), "local").script)
    assert subprocess.run(["sh", str(script)], stderr=subprocess.DEVNULL).returncode == 72


def test_the_node_enters_the_job_s_folder_where_the_node_has_it() -> None:
    ssh = Ssh(path_map=((Path("/shared"), Path("/lustre")),))
    batch = render(settings(ssh=ssh))
    assert '\ncd /lustre/spool/"$job_id" ||' in batch.script
    assert '\njob_dir=/shared/spool/"$job_id"\n' in batch.script
    assert batch.log == f"/lustre/spool/{ID}/job.log"
    assert batch.path == f"/lustre/spool/{ID}/job.sh"


anything = st.text(max_size=50)


@given(
    st.builds(
        Job,
        id=st.just(JOB.id),
        name=st.just(JOB.name),
        digest=st.just(JOB.digest),
        process=anything,
        owner=anything,
        message=anything,
        native_id=anything,
        sync=st.booleans(),
        state=st.sampled_from(State),
        control=st.sampled_from(ControlRequest),
        created=st.floats(allow_nan=False),
        submitted=st.floats(allow_nan=False),
    ),
    st.sampled_from([("slurm", APPTAINER), ("local", BARE)]),
)
def test_nothing_that_a_client_sent_reaches_the_script(
    job: Job, where: tuple[str, ProcessSettings]
) -> None:
    system, process = where
    own = settings(process)
    assert render(own, system, job) == render(own, system)


def test_a_process_with_settings_of_its_own_gets_them() -> None:
    own = settings(processes={"hello": BARE})
    assert render(own).resources == BARE.resources
    assert render(own, job=dataclasses.replace(JOB, process="other")).resources == (
        APPTAINER.resources
    )


# Quoting


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1))
def test_any_value_comes_out_as_one_word(text: str) -> None:
    assert shlex.split(quote(text)) == [text]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "a\x1bb", "a\u2028b", "a\x85b", "\ud800"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        quote(text)


@pytest.mark.parametrize("value", [None, True, ["a"], {"a": "b"}, object()])
def test_what_is_no_word_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        quote(value)


def test_no_template_can_forget_to_quote(tmp_path: Path) -> None:
    (tmp_path / "x.sh.j2").write_text(
        "{% macro twice(v) %}{{ v }}+{{ v }}{% endmacro %}"
        "{% set block %}<{{ value }}>{% endset %}"
        "{{ value }} {{ value | upper }} {{ value ~ 'x' }} {{ twice(value) }} {{ block }}"
    )
    made = environment(tmp_path).get_template("x.sh.j2").render(value="a b")
    assert made == "'a b' 'A B' 'a bx' 'a b'+'a b' <'a b'>"


def test_a_value_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.sh.j2").write_text("{{ client_input }}")
    with pytest.raises(UndefinedError, match="client_input"):
        environment(tmp_path).get_template("x.sh.j2").render()


@pytest.mark.parametrize("line", ["echo hello", "#SBATCH --x\nrm -rf /", "#a\u2028b", ""])
def test_a_header_line_cannot_become_a_command(line: str) -> None:
    own = settings()
    with pytest.raises(ValueError, match="header line"):
        Scripts(own, "slurm", lambda job: [line]).batch_job([JOB])


# The administrator's own templates


def test_an_own_template_wins_and_may_build_on_ours(tmp_path: Path) -> None:
    (tmp_path / "slurm.sh.j2").write_text(
        '{% extends "default/slurm.sh.j2" %}\n'
        "{% block environment %}\nmodule load apptainer\n{{ super() }}{% endblock %}\n"
    )
    script = render(settings(templates=tmp_path)).script
    assert "\nmodule load apptainer\n# sbatch was told" in script
    assert script.replace("module load apptainer\n", "") == render(settings()).script


def test_an_own_base_serves_our_scheduler_templates_too(tmp_path: Path) -> None:
    (tmp_path / "base.sh.j2").write_text("#!/bin/sh\n{% block header %}{% endblock %}\ntrue\n")
    script = render(settings(templates=tmp_path)).script
    assert script.startswith("#!/bin/sh\n#SBATCH --job-name=")
    assert script.endswith("\ntrue\n")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{% block %}", "slurm.sh.j2: TemplateSyntaxError"),
        ("{{ resources }}", "only text, numbers and paths"),
    ],
)
def test_a_mistake_in_a_template_shows_at_start(tmp_path: Path, template: str, words: str) -> None:
    (tmp_path / "slurm.sh.j2").write_text(template)
    with pytest.raises(SettingsError, match=words):
        scripts(settings(templates=tmp_path)).check()


def test_a_mistake_in_one_process_s_section_is_told_by_its_name() -> None:
    odd = ProcessSettings(container=Container(image=Path("/i"), environment={"A": "b\nc"}))
    with pytest.raises(SettingsError, match=r"^\[hpc\.process\.hello\]: control characters"):
        scripts(settings(processes={"hello": odd})).check()


# Where the files are


def test_the_package_s_own_files_are_found_in_a_checkout() -> None:
    assert (package_data.templates_folder() / "base.sh.j2").is_file()
    assert package_data.recipes_folder().is_dir()


def test_files_in_an_installed_package_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "pywps_hpc"
    (package / "job_templates").mkdir(parents=True)
    monkeypatch.setattr(package_data, "_PACKAGE", package)
    assert package_data.templates_folder() == package / "job_templates"
    assert package_data.recipes_folder() == tmp_path / "containers"


# --- without the script


def test_a_warm_start_is_what_the_script_would_do(tmp_path: Path) -> None:
    container = Container(
        runtime="none",
        python=tmp_path / "python",
        python_path=(Path("/shared/our service"),),
        environment={"PLACES": "0,1 $(id)"},
    )
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv\n')
    (tmp_path / "python").chmod(0o755)
    own = settings(ProcessSettings(Resources(), container), spool=tmp_path)
    (tmp_path / ID).mkdir()
    batch = render(own, "local")
    warm = batch.warm
    assert warm is not None
    done = subprocess.run(["/bin/sh", "-c", batch.script], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    arguments = [*warm.options, *warm.arguments]
    assert lines[: 3 + len(arguments)] == ["-I", "-m", "joblauncher", *arguments]
    assert set(lines[3 + len(arguments) :]) - {"PWD=" + warm.folder, "_=/usr/bin/env"} == {
        f"{name}={value}" for name, value in {"HOME": warm.home, **warm.environment}.items()
    }


def test_a_nursery_in_a_container_sees_what_jobs_share_and_no_job() -> None:
    scratch = Bind(Path("/scratch"), Path("/scratch"), writable=True)
    container = replace(APPTAINER.container, binds=(scratch,))
    own = settings(replace(APPTAINER, container=container), input_paths=(Path("/shared/inputs"),))
    batch = render(own, "local")
    assert batch.warm is not None
    inside = batch.warm.container
    assert inside is not None
    assert [*inside.program[:2], "--containall"] == ["apptainer", "exec", inside.program[2]]
    binds = [after for before, after in pairwise(inside.program) if before == "--bind"]
    assert binds == [
        "/shared/inputs:/shared/inputs:ro",
        "/shared/our service:/shared/our service:ro",
        "/scratch:/scratch:rw",
    ]
    assert ID not in "".join([*inside.program, *inside.arguments])
    assert inside.writable == ("/scratch",)
    assert inside.shown == ("/shared/our service", "/scratch")
    assert "none" in inside.program
    assert inside.exports["APPTAINERENV_PLACES"] == "0,1 $(id)"


COLD = {
    "turned off": settings(ProcessSettings(Resources(), Container(runtime="none", warm=False))),
    "GPUs": settings(BARE),
    "options of the administrator's own": settings(
        replace(APPTAINER, container=replace(APPTAINER.container, options=("--writable-tmpfs",)))
    ),
    "GPUs in a container": settings(replace(APPTAINER, resources=Resources(gpus=1))),
}


@pytest.mark.parametrize("why", COLD)
def test_what_a_nursery_cannot_do_is_left_to_the_script(why: str) -> None:
    assert render(COLD[why], "local").warm is None


@pytest.mark.parametrize("template", ["local.sh.j2", "base.sh.j2"])
def test_a_script_of_the_administrator_s_own_is_run(tmp_path: Path, template: str) -> None:
    (tmp_path / template).write_text(f'{{% extends "default/{template}" %}}\n')
    bare = ProcessSettings(Resources(), Container(runtime="none"))
    assert render(settings(bare), "local").warm is not None
    assert render(settings(bare), "slurm").warm is None
    assert render(settings(bare, templates=tmp_path), "local").warm is None


NO_PILOTS = {
    "not marked": (Resources(), Container(image=Path("/i.sif"))),
    "turned off": (Resources(), Container(image=Path("/i.sif"), warm=False)),
    "no container": (Resources(), Container(runtime="none", warm=True)),
    "options": (Resources(), Container(image=Path("/i.sif"), warm=True, options=("--nv",))),
    "GPUs": (Resources(gpus=1), Container(image=Path("/i.sif"), warm=True)),
    "nodes": (Resources(nodes=2), Container(image=Path("/i.sif"), warm=True)),
    "tasks": (Resources(tasks=4), Container(image=Path("/i.sif"), warm=True)),
    "nodes of one task": (Resources(nodes=2, tasks=1), Container(image=Path("/i.sif"), warm=True)),
    "licenses": (Resources(licenses=(("m", 1),)), Container(image=Path("/i.sif"), warm=True)),
    "a rule": (Resources(memory_per_input=2.0), Container(image=Path("/i.sif"), warm=True)),
    "a choice": (Resources(client_cpus=(1, 4)), Container(image=Path("/i.sif"), warm=True)),
}


@pytest.mark.parametrize("why", NO_PILOTS)
def test_jobs_go_to_pilots_only_where_each_needs_the_same(why: str) -> None:
    own = settings(ProcessSettings(*NO_PILOTS[why]))
    assert not scripts(own).is_for_pilots(JOB)
    assert render(own).warm is None
    fit = settings(ProcessSettings(Resources(), Container(image=Path("/i.sif"), warm=True)))
    assert scripts(fit).is_for_pilots(JOB)
    assert render(fit).warm is not None


OWN_NEEDS: dict[str, dict[str, int | str]] = {
    "account": {"account": "climate"},
    "QOS": {"qos": "short"},
    "queue": {"queue": "long"},
    "memory": {"memory": 9000},
    "time": {"walltime": 60},
    "processors": {"cpus": 2},
}


@pytest.mark.parametrize("what", OWN_NEEDS)
def test_a_job_with_resources_of_its_own_goes_to_no_pilot(what: str) -> None:
    need = Resources(account="service", qos="long", queue="short")
    own = settings(ProcessSettings(need, Container(image=Path("/i.sif"), warm=True)))
    job = replace(JOB, resources=needs.written(OWN_NEEDS[what]))
    assert not scripts(own).is_for_pilots(job)
    assert render(own, job=job).warm is None
    # Whose own are those of the process needs no pilot of its own.
    same = needs.written({"account": "service", "qos": "long", "queue": "short"})
    assert scripts(own).is_for_pilots(replace(JOB, resources=same))
    assert render(own, job=replace(JOB, resources=same)).warm is not None


@pytest.mark.parametrize(
    ("system", "lines"),
    [
        ("slurm", ("--cpus-per-task=6", "--mem=3584M", "--time=00:50:00", "--requeue")),
        ("gridengine", ("-l h_rt=3000,h_vmem=598M", "-pe smp 6", "-notify", "-r y")),
        ("torque", ("-l nodes=1:ppn=6,mem=3584mb,walltime=00:50:00", "-r y")),
        ("openpbs", ("-l select=1:ncpus=6:mem=3584mb", "-l walltime=00:50:00", "-r y")),
    ],
)
def test_a_pilot_asks_each_batch_system_for_its_slots_together(
    tmp_path: Path, system: str, lines: tuple[str, ...]
) -> None:
    need = Resources(memory=1024, walltime=600, cpus=2, requeue=True)
    container = Container(image=Path("/image.sif"), warm=True, pilot_slots=3)
    own = ProcessSettings(need, container)
    settings = Settings(spool=tmp_path, scheduler=system, defaults=own)
    header = make_scheduler(settings).header
    folder = PilotDir(tmp_path / "pilots/pilot-0")
    script = Scripts(settings, system, header).pilot("w1", folder, "ab" * 32, "").script
    head, _, body = script.partition("\n#\n")
    for line in (*lines, f"{folder.path}/job.log"):
        assert line in head
    assert "w1" in head
    counts = "SLURM_RESTART_COUNT" if system == "slurm" else "/start.$attempt."
    assert counts in body
    assert body.count("joblauncher.pilot") == 1
    assert body.rstrip().endswith('--digest "$digest" --attempt "$attempt" "$job_dir"')
    told = {"slurm": "SLURM_JOB_ID", "gridengine": "JOB_ID"}.get(system, "PBS_JOBID")
    line = next(line for line in body.splitlines() if f"ENV_{told}=" in line)
    environment = {told: "12.head"}
    shown = f'{line}\nprintf %s "$APPTAINERENV_{told}"'
    done = subprocess.run(["sh", "-c", shown], env=environment, capture_output=True, check=True)
    assert done.stdout == b"12.head"
