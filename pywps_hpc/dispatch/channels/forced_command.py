#!/usr/bin/env python3
"""What the service's SSH key may do on a cluster's login host: a forced command (docs/ssh.md).

For an administrator to copy there. It needs nothing but Python 3.6 or later, and stands in front of
the key in ``~/.ssh/authorized_keys`` (sshd(8), AUTHORIZED_KEYS FILE FORMAT):

    restrict,command="/usr/bin/python3 -I /usr/local/lib/pywps-hpc/forced_command.py slurm" ssh-…

After the batch system's name may follow what its commands need, as ``NAME=value``: SLURM_CONF,
SGE_ROOT, PATH. The environment that a request brings along is dropped, since it could name another
configuration and with it another program. A request runs without a shell if its words are those of
a rule below; everything else is refused, with exit status 126, and told to syslog.
"""

import os
import pwd
import re
import shlex
import sys
import syslog

#: One command a line: words as they are, <patterns>, and <pattern>... for one or more of them.
RULES = {
    "slurm": """
        sbatch --parsable
        squeue --all --array --me --states=all --format=<columns>
        squeue --all --array --me --states=all --format=<columns> --name=<name>
        sacct --allocations --parsable2 --format=<columns> --jobs=<ids>
        sacct --allocations --parsable2 --format=<columns> --starttime=<days> --name=<name>
        scontrol --oneliner show job <ids>
        scontrol hold <ids>
        scontrol release <ids>
        scontrol suspend <ids>
        scontrol resume <ids>
        squeue --version
        scancel <id>...
        scancel --signal=STOP --full <id>...
        scancel --signal=CONT --full <id>...
    """,
    "gridengine": """
        qsub -terse
        qstat -xml -g d -u $user -s <states>
        qstat -help
        qacct -j <number>
        qacct -j <name>
        qdel <id>...
        qhold <id>...
        qrls <id>...
        qmod -sj <id>...
        qmod -usj <id>...
    """,
    "torque": """
        qsub
        qstat -f -1 -t
        qstat -f -1 <torque>...
        qstat --version
        qdel <torque>...
        qhold <torque>...
        qrls <torque>...
        qsig -s suspend <torque>...
        qsig -s resume <torque>...
    """,
}
PATTERNS = {
    "columns": r"[A-Za-z0-9_|%,:.-]{1,200}",
    "days": r"now-[0-9]{1,4}days",
    "id": r"[0-9]{1,12}([_.][0-9]{1,9})?",
    "ids": r"[0-9]{1,12}([_.][0-9]{1,9})?(,[0-9]{1,12}([_.][0-9]{1,9})?)*",
    "name": r"[a-z][a-z0-9]{0,14}",
    "number": r"[0-9]{1,12}",
    "states": r"[a-z]{1,8}",
    "torque": r"[0-9]{1,12}(\[[0-9]{0,9}\])?(\.[A-Za-z0-9][A-Za-z0-9.-]{0,252})?",
}
#: Only these read what the request sends along: the job's script.
READS_INPUT = ("sbatch", "qsub")
MAX_LENGTH, MAX_SECONDS, REFUSED = 100000, 3600, 126


class Refused(Exception):
    """Not one of the commands that the service uses."""


def allowed(system: str, request: str) -> "tuple[list[str], int]":
    """The words of a request, and the seconds it may take.

    Args:
        system: name of the batch system.
        request: what the client asked for, as a line for a shell.

    Raises:
        Refused: with the reason.
    """
    if not request:
        raise Refused("there is no login for this key")
    if len(request) > MAX_LENGTH or not re.match(r"[ -~]*\Z", request):
        raise Refused("not one line of plain text")
    try:
        words = shlex.split(request)
    except ValueError as error:
        raise Refused(str(error)) from None
    words, seconds = without_prefix(words)
    for rule in RULES[system].split("\n"):
        if rule.strip() and matches(rule.split(), words):
            return words, seconds
    raise Refused("not a command of the service")


def without_prefix(words: "list[str]") -> "tuple[list[str], int]":
    """The command itself, and its limit of time in seconds.

    The service puts two things before a command (ssh.py beside this file): a clean environment,
    which is not its to give here, and the limit of time.
    """
    words, seconds = list(words), MAX_SECONDS
    if words[:3] == ["exec", "env", "-i"]:
        del words[:3]
        while words and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[0]):
            del words[0]
    if words[:3] == ["timeout", "-s", "KILL"] and re.match(r"[0-9]{1,6}\Z", "".join(words[3:4])):
        seconds = max(1, min(int(words[3]), MAX_SECONDS))
        del words[:4]
    return words, seconds


def matches(rule: "list[str]", words: "list[str]") -> bool:
    """Whether these are the rule's words."""
    repeat = rule[-1].endswith("...")
    if len(words) < len(rule) or (len(words) > len(rule) and not repeat):
        return False
    rule = rule + [rule[-1]] * (len(words) - len(rule))
    return all(re.match(expression(part), word) for part, word in zip(rule, words))  # noqa: B905


def expression(part: str) -> str:
    """A word of a rule as a regular expression for the whole word."""
    pieces = re.split(r"<(\w+)>", part[:-3] if part.endswith("...") else part)
    pieces[::2] = [re.escape(piece) for piece in pieces[::2]]
    pieces[1::2] = [f"(?:{PATTERNS[piece]})" for piece in pieces[1::2]]
    return "".join(pieces) + r"\Z"


def main(arguments: "list[str]", request: str) -> int:
    """Run the request in place of this program; returns only if it is refused."""
    who = pwd.getpwuid(os.getuid())
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C",
        "HOME": who.pw_dir,
        "USER": who.pw_name,
        "LOGNAME": who.pw_name,
    }
    for pair in arguments[1:]:
        name, _, value = pair.partition("=")
        environment[name] = value
    syslog.openlog("pywps-hpc", syslog.LOG_PID, syslog.LOG_AUTH)
    peer = os.environ.get("SSH_CONNECTION", "nowhere").split(" ")[0]
    try:
        words, seconds = allowed(arguments[0], request)
    except Refused as error:
        told = f"refused ({error}), {who.pw_name} from {peer}: {request[:500]!r}"
        syslog.syslog(syslog.LOG_WARNING, told)
        sys.stderr.write(f"refused by this key's forced command: {error}\n")
        return REFUSED
    if words[0] not in READS_INPUT:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir("/")
    try:
        os.execvpe("timeout", ["timeout", "-s", "KILL", str(seconds), *words], environment)
    except OSError as error:
        sys.stderr.write(f"timeout: {error.strerror}\n")
        return REFUSED


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in RULES or not all("=" in a for a in sys.argv[2:]):
        sys.exit(f"usage: forced_command.py {'|'.join(RULES)} [NAME=value...]")
    sys.exit(main(sys.argv[1:], os.environ.get("SSH_ORIGINAL_COMMAND", "")))
