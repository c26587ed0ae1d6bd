#!/usr/bin/env python3
"""What the service's SSH key may do on a cluster's login host: a forced command (docs/ssh.md).

For an administrator to copy there, together with the batch system's rules (``slurm.rules``). It
needs nothing but Python 3.6 or later, and stands in front of the key in ``~/.ssh/authorized_keys``
(sshd(8), AUTHORIZED_KEYS FILE FORMAT):

    restrict,command="/usr/bin/python3 -I /usr/local/lib/pywps-hpc/forced_command.py slurm" ssh-…

After the batch system's name may follow what its commands need, as ``NAME=value``: SLURM_CONF,
SGE_ROOT, PATH. The environment that a request brings along is dropped, since it could name another
configuration and with it another program. A request runs without a shell if its words are those of
a rule; everything else is refused, with exit status 126, and reported to syslog.

The file of rules has one command a line: words as they are, ``<patterns>``, and at the end ``...``
for any number more of the last word. A command after ``<`` reads standard input; the others get
none. Patterns are defined by ``<name> = regular expression``.
"""

import os
import pwd
import re
import shlex
import sys
import syslog

MAX_LENGTH, MAX_SECONDS, REFUSED = 100000, 3600, 126
SUFFIX = ".rules"
MORE = re.escape("...") + r"\Z"
FOLDER = os.path.dirname(os.path.realpath(__file__))


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
    if not any(matches(rule, words) for rule in rules(system)):
        raise Refused("not a command of the service")
    return words, seconds


def reads_input(system: str, words: "list[str]") -> bool:
    """Whether this command reads what the request sends along: the job's script."""
    return any(matches(rule, words) for rule in rules(system, "<"))


def rules(system: str, mark: str = "") -> "list[list[str]]":
    """The rules of a batch system: for each word a regular expression, at the end perhaps MORE.

    Args:
        system: name of the batch system, and of the file with its rules.
        mark: only the rules that begin with this word.
    """
    patterns, found = {}, []
    with open(os.path.join(FOLDER, system + SUFFIX)) as file:
        for line in file:
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if words[1:2] == ["="]:
                patterns[words[0]] = words[2]
            elif not mark or words[0] == mark:
                found.append(words[1:] if words[0] == "<" else words)
    return [[expression(word, patterns) for word in words] for words in found]


def systems() -> "list[str]":
    """The batch systems of which there are rules."""
    return sorted(name[: -len(SUFFIX)] for name in os.listdir(FOLDER) if name.endswith(SUFFIX))


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
    if rule[-1] == MORE:
        rule = rule[:-1] + [rule[-2]] * (len(words) - len(rule) + 1)
    return len(rule) == len(words) and all(map(re.match, rule, words))


def expression(word: str, patterns: "dict[str, str]") -> str:
    """A word of a rule as a regular expression for the whole word."""
    pieces = re.split(r"(<\w+>)", word)
    pieces[::2] = [re.escape(piece) for piece in pieces[::2]]
    pieces[1::2] = ["(?:" + patterns[piece] + ")" for piece in pieces[1::2]]
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
    if not reads_input(arguments[0], words):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir("/")
    try:
        os.execvpe("timeout", ["timeout", "-s", "KILL", str(seconds), *words], environment)
    except OSError as error:
        sys.stderr.write(f"timeout: {error.strerror}\n")
        return REFUSED


def usage(arguments: "list[str]") -> str:
    """What is wrong with the line in ``authorized_keys``; empty if nothing is."""
    known = systems()
    if not known:
        name = (arguments or ["NAME"])[0] + SUFFIX
        return "forced_command.py: the batch system's rules (" + name + ") must lie beside it"
    if not arguments or arguments[0] not in known or not all("=" in a for a in arguments[1:]):
        return f"usage: forced_command.py {'|'.join(known)} [NAME=value...]"
    return ""


if __name__ == "__main__":
    problem = usage(sys.argv[1:])
    if problem:
        sys.stderr.write(problem + "\n")
        sys.exit(REFUSED)  # the service takes it for what it is: no command was started
    sys.exit(main(sys.argv[1:], os.environ.get("SSH_ORIGINAL_COMMAND", "")))
