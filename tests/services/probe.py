"""A process that tries to get out: of its container, of its account, to its neighbours.

It is told where things are, as somebody who knows the site would be, tries each way, and writes one
line about each: ``refused`` and how, or ``SUCCEEDED`` and what it got.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pywps import Process, Service

import odd_data
from odd_kit import OPEN, document, result, value, word

LIBC = ctypes.CDLL(None, use_errno=True)
PATIENCE = 3.0
GET_DESCRIPTOR = 438  # pidfd_getfd(2)
LEAVABLE = ("/tmp", "/var/tmp", "/dev/shm", "/dev", "/etc")
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWPID = (
    0x00020000, 0x10000000, 0x40000000, 0x20000000,
)  # fmt: skip
MS_REMOUNT, MS_BIND, MNT_DETACH, PTRACE_ATTACH, PTRACE_DETACH = 32, 4096, 2, 16, 17
SCHEDULER_COMMANDS = (
    "sbatch", "srun", "salloc", "squeue", "scancel", "scontrol", "sacct", "qsub", "qstat", "qdel",
    "qmod", "munge", "unmunge", "apptainer", "singularity", "ssh", "sudo",
)  # fmt: skip

Try = Callable[[], str]


class Refused(Exception):
    """An attempt came to nothing, for this reason."""


def call(name: str, *arguments: Any) -> int:
    """A function of the C library; raises what it says."""
    ctypes.set_errno(0)
    result: int = getattr(LIBC, name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def told(attempt: Try) -> str:
    """One attempt as the rest of its line."""
    try:
        return f"SUCCEEDED: {attempt()}"
    except Refused as error:
        return f"refused: {error}"
    except OSError as error:
        return f"refused: {errno.errorcode.get(error.errno or 0, '')} {error.strerror or error}"


# The single attempts


def read(path: str) -> str:
    with open(path, "rb") as file:
        return f"{len(file.read(4096))} bytes"


def look_into(path: str) -> str:
    return f"{len(os.listdir(path))} entries"


def write(path: str) -> str:
    os.close(os.open(path, os.O_WRONLY))
    return "opened to write"


def make_writable(path: str) -> str:
    os.chmod(path, 0o600)
    return "changed its mode"


def put_into(folder: str) -> str:
    path = Path(folder, f".probe-{os.getpid()}")
    path.touch()
    path.unlink()
    return "made a file"


def replace_by_link(path: str) -> str:
    os.rename(path, f"{path}.old")
    os.symlink("/etc/passwd", path)
    os.rename(f"{path}.old", path)
    return "was a link"


def look_through_link(path: str, target: str) -> str:
    """Its own folder may hold links; what matters is whether one leads anywhere."""
    os.rename(path, f"{path}.old")
    os.symlink(target, path)
    try:
        return look_into(path)
    finally:
        os.unlink(path)
        os.rename(f"{path}.old", path)


def search_environments(secret: str) -> str:
    seen = 0
    for path in glob.glob("/proc/[0-9]*/environ"):
        with contextlib.suppress(OSError):
            seen += 1
            if secret.encode() in Path(path).read_bytes():
                return path
    if any(secret in text for text in os.environ.values()):
        return "in the own environment"
    raise Refused(f"in none of {seen} readable environments")


def search_processes(words: list[str]) -> str:
    lines = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(Path(path).read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    found = [line for line in lines for word_ in words if word_ in line]
    if found:
        return found[0]
    raise Refused(f"of {len(lines)} visible processes none is theirs")


def through_open_files(path: str) -> str:
    """What CVE-2024-21626 was: a folder of the host that the runtime left open."""
    up = "../" * 40 + path.lstrip("/")
    tried = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.fstat(int(entry)).st_mode):
                tried += 1
                os.close(os.open(up, os.O_RDONLY, dir_fd=int(entry)))
                return f"through descriptor {entry}"
    for root in glob.glob("/proc/[0-9]*/root") + glob.glob("/proc/[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            tried += 1
            os.close(os.open(f"{root}/{up}", os.O_RDONLY))
            return f"through {root}"
    raise Refused(f"through none of {tried} open, root and current folders")


def connect(address: Any, family: int = socket.AF_INET) -> str:
    with socket.socket(family) as made:
        made.settimeout(PATIENCE)
        try:
            made.connect(address)
        except TimeoutError:
            raise Refused("no answer") from None
        return "connected"


def raw_socket() -> str:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened"


def packet_socket() -> str:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    return "opened"


def find_interface() -> str:
    found = [name for _, name in socket.if_nameindex() if name != "lo"]
    if found:
        return " ".join(found)
    raise Refused("lo is the only one")


def find_commands() -> str:
    found = [name for name in SCHEDULER_COMMANDS if shutil.which(name)]
    if found:
        return " ".join(found)
    raise Refused("none is there")


def find_capability() -> str:
    found = status()
    held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(found[name], 16)]
    if held:
        return " ".join(f"{name}={found[name]}" for name in held)
    raise Refused(f"CapEff={found['CapEff']} CapPrm={found['CapPrm']}")


def use_setuid_programs() -> str:
    programs = []
    for folder in ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib/*", "/usr/libexec"):
        for path in glob.glob(f"{folder}/*"):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and os.path.isfile(path):
                    programs.append(path)
    if status()["NoNewPrivs"] != "1":
        return f"{len(programs)} programs, and nothing forbids"
    raise Refused(f"no_new_privs holds for each of {len(programs)}")


def become_root() -> str:
    os.setuid(0)
    return f"user {os.getuid()}"


def make_device() -> str:
    path = f"device-{os.getpid()}"
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(8, 0))
    return "made"


def open_disks() -> str:
    found = [path for path in glob.glob("/dev/*") if stat.S_ISBLK(os.lstat(path).st_mode)]
    for path in found:
        with contextlib.suppress(OSError):
            return f"{path}: {read(path)}"
    raise Refused(f"{len(found)} in /dev")


def ptrace(pid: int) -> str:
    call("ptrace", PTRACE_ATTACH, pid, 0, 0)
    os.waitpid(pid, 0)
    call("ptrace", PTRACE_DETACH, pid, 0, 0)
    return "attached"


def find_shared_memory(key: int) -> str:
    call("shmget", key, 0, 0)
    return "found"


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


def in_own_namespace(attempt: Try) -> Try:
    """The attempt as root of a user namespace of its own, in a child."""

    def run() -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                uid, gid = os.getuid(), os.getgid()
                call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
                Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
                text = told(attempt)
            except OSError as error:
                text = f"refused: no user namespace: {error.strerror}"
            os.write(writer, text.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        kind, _, rest = text.partition(": ")
        if kind == "SUCCEEDED":
            return rest
        raise Refused(rest)

    return run


def unmount_and_write(path: str) -> str:
    call("umount2", path.encode(), MNT_DETACH)
    return write(path)


def remount_and_write(mounted: str, path: str) -> str:
    call("mount", b"none", mounted.encode(), None, MS_REMOUNT | MS_BIND, None)
    return write(path)


def unmount_and_look(path: str, wanted: str) -> str:
    call("umount2", path.encode(), MNT_DETACH)
    return read(wanted)


def leave_daemon(name: str) -> str:
    """A process of a session of its own, whose parents are gone."""
    subprocess.run(
        [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:], "
         "start_new_session=True, stdin=-3, stdout=-3, stderr=-3)", "sleep", name],
        check=True,
    )  # fmt: skip
    return "left"


def may_make_user_namespaces() -> str:
    return in_own_namespace(lambda: "yes")()


def attempts(targets: dict[str, Any], job: Path) -> Iterator[tuple[str, Try]]:
    """What is tried, with its name."""
    dump, log, code = str(job / "job.dump"), str(job / "job.log"), targets["code"]
    some = next(iter(targets["read"].values()))
    secret = targets["secret"]
    yield "find the server's secret in an environment", lambda: search_environments(secret)
    for what, path in targets["read"].items():
        yield f"read {what}", lambda path=path: read(path)
    for what, path in targets["look"].items():
        yield f"look into {what}", lambda path=path: look_into(path)
    yield (
        "look into the account's home by a link in its own folder",
        lambda: look_through_link(str(job / "tmp"), targets["look"]["the account's home"]),
    )
    yield "reach the host by what the runtime left open", lambda: through_open_files(some)
    for what, path in (("dump", dump), ("log", log)):
        yield f"write its own {what}", lambda path=path: write(path)
        yield f"make its own {what} writable", lambda path=path: make_writable(path)
        yield f"replace its own {what} by a link", lambda path=path: replace_by_link(path)
    yield "write the root of its image", lambda: put_into("/")
    yield "write the programs of its image", lambda: put_into("/usr/bin")
    for what, path in targets["write"].items():
        yield f"write {what}", lambda path=path: write(path)
    for what, path in targets["put"].items():
        yield f"put a file into {what}", lambda path=path: put_into(path)
    for what, address in targets["connect"].items():
        yield f"connect to {what}", lambda address=address: connect(tuple(address))
    for what, path in targets["sockets"].items():
        yield f"connect to {what}", lambda path=path: connect(path, socket.AF_UNIX)
    yield (
        "connect to an abstract socket of the host",
        lambda: connect("\0" + targets["abstract"], socket.AF_UNIX),
    )
    yield "find a network interface", find_interface
    yield "open a raw socket", raw_socket
    yield "open a packet socket", packet_socket
    yield "find a command of a batch system or another way out", find_commands
    yield "see processes of the host", lambda: search_processes(targets["programs"])
    for what, pid in targets["pids"].items():
        yield f"signal {what}", lambda pid=pid: str(os.kill(pid, 0))
        yield f"trace {what}", lambda pid=pid: ptrace(pid)
    yield "find shared memory of the host", lambda: find_shared_memory(targets["shm"])
    yield "hold a capability", find_capability
    yield "gain rights by a setuid program", use_setuid_programs
    yield "become root", become_root
    yield "mount", lambda: f"{call('mount', b'none', b'/mnt', b'tmpfs', 0, None)}"
    yield "change its root", lambda: str(os.chroot("/"))
    yield "unmount its dump", lambda: unmount_and_write(dump)
    yield "leave its network namespace", lambda: str(call("unshare", CLONE_NEWNET))
    yield "make a block device", make_device
    yield "open a disk", open_disks
    for device in ("mem", "kmem", "kmsg", "port", "fuse", "kvm"):
        yield f"open /dev/{device}", lambda device=device: write(f"/dev/{device}")
    for path in ("sys/kernel/core_pattern", "sysrq-trigger", "sys/kernel/hostname"):
        yield f"write /proc/{path}", lambda path=path: write(f"/proc/{path}")
    yield "change the host's name", lambda: str(call("sethostname", b"x", 1))
    yield "write its control group", lambda: write("/sys/fs/cgroup/cgroup.procs")
    for what, inner in (
        ("unmount its dump", lambda: unmount_and_write(dump)),
        ("make its dump writable", lambda: remount_and_write(dump, dump)),
        ("make its log writable", lambda: remount_and_write(log, log)),
        (
            "make the service's code writable",
            lambda: remount_and_write(os.path.dirname(code), code),
        ),
        ("unmount its folder and look below", lambda: unmount_and_look(str(job), some)),
        ("open a disk", open_disks),
        ("make a block device", make_device),
        ("reach the host by what the runtime left open", lambda: through_open_files(some)),
        ("signal the web server", lambda: str(os.kill(targets["pids"]["the web server"], 0))),
        ("write /proc/sysrq-trigger", lambda: write("/proc/sysrq-trigger")),
    ):
        yield f"as root of a user namespace of its own: {what}", in_own_namespace(inner)


def find_terminal() -> str:
    found = [name for name in os.listdir("/dev/pts") if name.isdigit()]
    if found:
        return " ".join(found)
    raise Refused("none is there")


def open_queue(name: str) -> str:
    """mq_open(3)."""
    library = ctypes.CDLL("librt.so.1", use_errno=True)
    if library.mq_open(name.encode(), os.O_RDWR) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "opened"


def look_for_others(folder: str, own: str) -> str:
    found = [name for name in os.listdir(folder) if name != own]
    if found:
        return " ".join(found)
    raise Refused("only its own folder is there")


def take_socket_from_above() -> str:
    """pidfd_getfd(2): what its launcher, or the first process, has open."""
    seen = 0
    for pid in {1, os.getppid()}:
        for number in range(256):
            try:
                handle = os.pidfd_open(pid)
                taken = call("syscall", GET_DESCRIPTOR, handle, number, 0)
            except OSError:
                continue
            seen += 1
            if stat.S_ISSOCK(os.fstat(taken).st_mode):
                return f"descriptor {number} of process {pid}"
    raise Refused(f"none of {seen} descriptors is one")


def through_folders_above(name: str) -> str:
    """A folder that a process above has open and that lies elsewhere."""
    seen = 0
    for folder in glob.glob("/proc/[0-9]*/fd/*"):
        for path in (f"{folder}/../{name}", f"{folder}/../../{name}", f"{folder}/{name}"):
            with contextlib.suppress(OSError):
                seen += 1
                return f"{path}: {read(path)}"
    raise Refused(f"by none of {seen} ways")


def against_neighbour(targets: dict[str, Any], job: Path) -> Iterator[tuple[str, Try]]:
    """What is tried against another job of the same nursery, which left what it could, and against
    the nursery."""
    its, spool = targets["neighbour"], str(job.parent)
    for folder in LEAVABLE:
        yield (
            f"read the neighbour's file in {folder}",
            lambda folder=folder: read(f"{folder}/{its['name']}"),
        )
    yield "find the neighbour's shared memory", lambda: find_shared_memory(its["key"])
    yield "open the neighbour's message queue", lambda: open_queue(f"/{its['name']}")
    yield (
        "connect to the neighbour's abstract socket",
        lambda: connect(f"\0{its['name']}", socket.AF_UNIX),
    )
    yield "connect to the neighbour's port", lambda: connect(("127.0.0.1", its["port"]))
    yield "find the neighbour's terminal", find_terminal
    yield "see a process of the neighbour", lambda: search_processes([its["id"], "sleep 4321"])
    yield "find the neighbour's secret in an environment", lambda: search_environments(its["name"])
    for number, pid in enumerate(its["pids"]):
        yield f"signal the neighbour's process {number}", lambda pid=pid: str(os.kill(pid, 0))
        yield f"trace the neighbour's process {number}", lambda pid=pid: ptrace(pid)
    yield "see another folder of the spool", lambda: look_for_others(spool, job.name)
    for name in ("learned.json", "nursery.json"):
        yield f"read the nursery's {name}", lambda name=name: read(f"{spool}/{name}")
        yield (
            f"read the nursery's {name} through folders that others have open",
            lambda name=name: through_folders_above(name),
        )
        yield (
            f"as root of a user namespace of its own: unmount its folder and read {name}",
            in_own_namespace(lambda name=name: unmount_and_look(str(job), f"{spool}/{name}")),
        )
        yield (
            f"as root of a user namespace of its own: unmount the spool and read {name}",
            in_own_namespace(lambda name=name: unmount_and_look(spool, f"{spool}/{name}")),
        )
    yield (
        "as root of a user namespace of its own: unmount /tmp and read the neighbour's file",
        in_own_namespace(lambda: unmount_and_look("/tmp", f"/tmp/{its['name']}")),
    )
    yield "put a file beside its own folder", lambda: put_into(spool)
    yield "take a socket from a process above", take_socket_from_above
    yield "write the file of accounts", lambda: write("/etc/passwd")
    yield "put a file into /dev", lambda: put_into("/dev")
    for pid in its["nursery"]:
        yield f"signal a process of the nursery ({pid})", lambda pid=pid: str(os.kill(pid, 0))
    yield "trace the first process of its namespace", lambda: ptrace(1)


def leave_traces(request: Any, response: Any) -> None:
    """What one job could leave for another to find."""
    name, key, port = value(request).split()
    os.environ["NEIGHBOUR"] = name
    for folder in LEAVABLE:
        with contextlib.suppress(OSError):
            Path(folder, name).write_text(name)
    call("shmget", int(key), 4096, 0o1666)
    library = ctypes.CDLL("librt.so.1", use_errno=True)
    library.mq_open(f"/{name}".encode(), os.O_RDWR | os.O_CREAT, 0o666, None)
    abstract, listener = socket.socket(socket.AF_UNIX), socket.socket()
    abstract.bind(f"\0{name}")
    listener.bind(("127.0.0.1", int(port)))
    for one in (abstract, listener):
        one.listen()
    os.openpty()
    with subprocess.Popen(["sleep", "4321"], env=os.environ | {"NEIGHBOUR": name}):
        print("has left its traces", flush=True)
        response.outputs["result"].data = name


def is_warm(_request: Any, response: Any) -> None:
    response.outputs["result"].data = str("joblauncher.imports" in sys.modules)


def probe(request: Any, response: Any) -> None:
    """Try everything and tell of it."""
    targets = json.loads(value(request))
    job = Path(response.outputs["document"].workdir).parent
    lines = []
    tried = [*attempts(targets, job)]
    if "neighbour" in targets:
        tried += against_neighbour(targets, job)
    for what, attempt in tried:
        lines.append(f"{what}: {told(attempt)}")
        print(lines[-1], flush=True)
    for folder in ("/tmp", "/dev/shm", "/var/tmp"):
        with contextlib.suppress(OSError):
            Path(folder, targets["left"]).touch()
    leave_daemon(targets["daemon"])
    held = status()
    flags = ", ".join(f"{name} {held[name]}" for name in ("NoNewPrivs", "Seccomp", "CapBnd"))
    lines += [
        f"fact: user {os.getuid()}, groups {sorted(os.getgroups())}",
        f"fact: {flags}",
        f"fact: warm {'joblauncher.imports' in sys.modules}",
        f"fact: a user namespace of its own: {told(may_make_user_namespaces)}",
        f"fact: a process left behind, and files named {targets['left']} in /tmp and /dev/shm",
    ]
    response.outputs["document"].data = "\n".join(lines)


service = Service(
    [
        Process(
            probe, identifier="probe", title="Probe", inputs=[word()], outputs=[document()], **OPEN
        ),
        Process(
            leave_traces,
            identifier="neighbour",
            title="Leaves what others could find",
            inputs=[word()],
            outputs=[result()],
            **OPEN,
        ),
        Process(is_warm, identifier="is_warm", title="Whether", outputs=[result()], **OPEN),
        *odd_data.PROCESSES,
    ]
)
