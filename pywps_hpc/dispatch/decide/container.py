"""Why a container did not start, by what its runtime wrote into the job's log: pure.

Measured with Apptainer 1.3 and 1.4; the messages of SingularityCE are the same or alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from joblauncher.shared.exits import REFUSED

#: Exit codes of a job whose launcher did not begin: of Python, of the shell (POSIX.1, Shell Command
#: Language, 2.8.2), of Apptainer; and of a launcher that does not know what it is given.
CODES = frozenset({1, 2, 126, 127, 255, REFUSED})


@dataclass(frozen=True)
class Trouble:
    """What kept a container, or the launcher in it, from starting.

    Attributes:
        message: for the client, without paths.
        what: for the administrator: a path or name that it is about, where there is one.
        keys: of the settings, by which it is mended; the first is the likeliest.
        remedy: what to do.
    """

    message: str
    what: str
    keys: tuple[str, ...]
    remedy: str

    @property
    def line(self) -> str:
        """For the administrator."""
        about = f" ({self.what})" if self.what else ""
        keys = ", ".join(self.keys)
        return f"{self.message}{about} — {keys}{': ' if keys else ''}{self.remedy}"


def _start(what: str) -> str:
    return f"could not start: {what}"


#: Pattern of the log, whose first group is what it is about -> message, keys, remedy. The first
#: that matches counts.
TROUBLES = tuple(
    (re.compile(pattern, re.IGNORECASE), _start(message), keys, remedy)
    for pattern, message, keys, remedy in (
        (
            r"no space left on device|disk quota exceeded",
            "the compute node has no space left for temporary files",
            ("[hpc.container] image",),
            "make room in /tmp of the node, or have FUSE set up there, so that images need not be "
            "unpacked",
        ),
        (
            r"could not open image (\S+?): .*?no such file"
            r"|failed to retrieve path for (\S+?):",
            "the container image is missing on the compute node",
            ("[hpc.container] image",),
            "put it where every node sees it, under this path",
        ),
        (
            r"could not open image (\S+?): .*?(?:not readable|permission denied)"
            r"|could not open image (\S+?):.*lstat.*permission",
            "the container image cannot be read on the compute node",
            ("[hpc.container] image",),
            "make it readable for the service's account: chmod a+r, and a+x for its folders",
        ),
        (
            r"could not open image (\S+?): .*?format not recognized|image format not recognized"
            r"|trying to read the squashfs image|(?:not a|no) valid SIF|unknown image format"
            r"|(?:destination|while mounting) \S+ doesn't exist in container|squashfs .*corrupt",
            "the container image is damaged, or is not an image",
            ("[hpc.container] image",),
            "build it anew: pywps-hpc image build",
        ),
        (
            r"mount source (\S+) doesn't exist|while getting stat for (\S+?): stat"
            r"|bind source (\S+) (?:doesn't|does not) exist",
            "a folder that jobs are to see is missing on the compute node, or cannot be read there",
            ("[hpc.container] binds", "[hpc.container] python_path", "[server] allowedinputpaths"),
            "correct the path, or mount it on the nodes",
        ),
        (
            r"(/dev/fuse): (?:Permission denied|No such)|fuse: device not found|"
            r"(squashfuse\S*|fusermount\S*):? (?:not found|executable file not found)"
            r"|FUSE.* not (?:supported|available)",
            "the compute node cannot mount images (FUSE)",
            ("[hpc.container] runtime",),
            "install squashfuse on the nodes and let users open /dev/fuse, or install the setuid "
            "variant of Apptainer",
        ),
        (
            r"user namespace|max_user_namespaces|unprivileged_userns|CLONE_NEWUSER"
            r"|starter-suid doesn't have setuid|not allowed to run in setuid mode",
            "the compute node does not let users start containers (user namespaces)",
            ("[hpc.container] runtime",),
            "allow user namespaces on the nodes (sysctl user.max_user_namespaces), or install the "
            "setuid variant of Apptainer",
        ),
        (
            r"network .*(?:not permitted|requires root|CNI|not allowed)"
            r"|could not (?:set up|add) network",
            "the compute node cannot take the network from a container",
            ("[hpc.container] network",),
            "set network = yes, or allow network namespaces to users on the nodes",
        ),
        (
            r"FATAL:\s+stat (\S+?): no such file|exec (\S+) failed: no such"
            r'|FATAL:\s+"?([^\s"]+)"?: executable file not found',
            "the interpreter is missing in the container",
            ("[hpc.container] python",),
            "name the Python in the image that has pywps-hpc (an image of pywps-hpc image build "
            "needs no such key)",
        ),
        (
            r"No module named '?(joblauncher)\b|cannot find module (joblauncher)",
            "the compute environment lacks pywps-hpc",
            ("[hpc.container] image", "[hpc.container] python"),
            "build the image with pywps-hpc image build, or install pywps-hpc for this interpreter",
        ),
        (
            r"(?:ModuleNotFoundError|ImportError): No module named '?([\w.]+)",
            "the compute environment lacks a Python module that pywps-hpc needs",
            ("[hpc.container] image", "[hpc.container] python"),
            "build the image with pywps-hpc image build, from the same requirements as the service",
        ),
        (
            r"format that this launcher does not support|unrecognized arguments",
            "the compute environment has another version of pywps-hpc than the service",
            ("[hpc.container] image",),
            "build it anew with the version of the service: pywps-hpc image build",
        ),
        (
            r"unknown (?:shorthand )?flag: (.*?)(?:\n|$)|flag needs an argument: (.*?)(?:\n|$)",
            "the container runtime does not know one of its options",
            ("[hpc.container] options",),
            "correct or remove it; apptainer exec --help lists the options of its version",
        ),
        (
            r"runtime: (?:cannot allocate|out of memory)|failed to (?:create new OS thread|reserve)"
            r"|runtime\.schedinit",
            "the job has too little memory for the container runtime itself",
            ("[hpc.resources] memory", "[hpc.process.ID] memory"),
            "ask for 2G or more: some batch systems count address space",
        ),
        (
            r"jobs are not run as root",
            "the job ran as root on the compute node",
            (),
            "submit as the service's own account; start check as that account, or as root of a "
            "spool "
            "that belongs to it",
        ),
        (
            r"exec format error|Illegal instruction|architecture \(\w+\) could not run on the host",
            "the container image is for another kind of processor",
            ("[hpc.container] image",),
            "build it on a machine of the nodes' architecture",
        ),
        (
            r"\b(apptainer|singularity): (?:command )?not found|exec: (apptainer|singularity)\b",
            "the container runtime is missing on the compute node",
            ("[hpc.container] runtime",),
            "install it on the nodes, or load its module in the block environment of a template of "
            "your own ([hpc] templates)",
        ),
        (
            r"(?:env|exec): \W?([/\w.+-]+)\W?: (?:No such file|not found|Permission)",
            "the interpreter is missing on the compute node",
            ("[hpc.container] python",),
            "name an interpreter that the nodes have under this path",
        ),
        (
            r"(?:mount|container creation) fail\w*.*?permission denied",
            "the compute node does not let this account set the container up",
            ("[hpc.container] image", "[hpc.container] binds"),
            "see the job's log for what could not be mounted",
        ),
    )
)


def explain(log_tail: str, exit_code: int | None) -> Trouble | None:
    """What the end of a job's log says of its end, where no launcher was there to tell it.

    Args:
        log_tail: the end of its log.
        exit_code: of the job; ``None`` where that is not known.
    """
    if exit_code is not None and exit_code not in CODES:
        return None
    for pattern, message, keys, remedy in TROUBLES:
        if match := pattern.search(log_tail):
            what = next((group for group in match.groups() if group), "")
            return Trouble(message, what, keys, remedy)
    return None
