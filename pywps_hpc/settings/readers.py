"""Readers of single configuration values: text in, typed value out, or ``ValueError``."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from joblauncher.inputs import addresses
from pywps_hpc.settings import synonyms

_MEMORY = re.compile(r"(\d+)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_MEBIBYTES = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0 * 1024}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
#: A month and a year are the longest that there are: nothing goes too early.
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "mo": 31 * 86400}
_SECONDS |= {"y": 366 * 86400}
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


#: Stands for whoever connects through a Unix socket, where networks of peers are named.
UNIX_SOCKET = "unix"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Reader(Generic[_T]):
    """Reads one kind of value from text.

    Attributes:
        form: how an administrator writes such a value, for the reference (Markdown).
        parse: gives the value, or raises ``ValueError`` with a message for the administrator.
    """

    form: str
    parse: Callable[[str], _T]

    def __call__(self, value: str) -> _T:
        return self.parse(value)


def reads(form: str) -> Callable[[Callable[[str], _T]], Reader[_T]]:
    """Make a function the :class:`Reader` of values of this form."""
    return lambda parse: Reader(form, parse)


@reads("one line of text")
def text(value: str) -> str:
    """One line of text without control characters."""
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed")
    return value


@reads("text without white space")
def word(value: str) -> str:
    """Text without white space, as names of queues and accounts are."""
    if re.search(r"\s", text(value)):
        raise ValueError(f"{value!r} has white space in it")
    return value


@reads("name or address of a host")
def host(value: str) -> str:
    """A name or an address of a host, without port and account."""
    if "://" in value or "/" in value:
        raise ValueError(f"{value!r} is not a host; write its name alone")
    user, sign, name = word(value).rpartition("@")
    if sign:
        raise ValueError(f"{value!r} has an account in it; write host = {name}, user = {user}")
    if (found := re.fullmatch(r"([^:]+):(\d+)", name)) is not None:
        raise ValueError(f"{value!r} has a port in it; write host = {found[1]}, port = {found[2]}")
    return value


def integer(least: int) -> Reader[int]:
    """A whole number not below ``least``."""

    @reads(f"whole number, at least {least}")
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d+", value) or int(value) < least:
            raise ValueError(f"{value!r} is not a whole number of at least {least}")
        return int(value)

    return parse


@reads("amount of data: `100K`, `512M`, `2G`, or bytes")
def size(value: str) -> int:
    """``2G``, ``512M``, ``100K`` or a bare number of bytes; bytes."""
    match = _MEMORY.fullmatch(value)
    if not match or not int(match[1]):
        raise ValueError(f"{value!r} is not an amount of data; write 512M or 2G")
    return int(match[1]) * (int(_MEBIBYTES[match[2].upper()] * (1 << 20)) if match[2] else 1)


@reads("amount of data: `512M`, `2G`; `0` for no limit")
def bound(value: str) -> int:
    """An amount of data as :func:`size` reads it, or ``0`` for no limit; bytes."""
    return 0 if value == "0" else size(value)


@reads(
    "length of time: `90s`, `30min`, `12h`, `7d`, `2w`, `6mo` (months of 31 days), `1y`; `0` for "
    "no limit"
)
def duration(value: str) -> float:
    """``90s``, ``30min``, ``12h``, ``7d``, ``2w``, ``6mo``, ``1y``, or ``0``; seconds.

    ``m`` is refused: results that were to be kept for months would go after minutes.
    """
    match = _DURATION.fullmatch(value)
    if match and match[2] == "m":
        told = f"{match[1]}min for minutes, {match[1]}mo for months"
        raise ValueError(f"{value!r} may mean minutes or months; write {told}")
    if value != "0" and not (match and float(match[1]) and match[2] in _SECONDS):
        known = "write 30min, 12h, 7d, 2w, 6mo (months) or 1y, or 0 for no limit"
        raise ValueError(f"{value!r} is not a length of time; {known}")
    return float(match[1]) * _SECONDS[match[2]] if match else 0.0


#: How a database's URL is written.
_DATABASE = "write sqlite:////path/to/file or postgresql+psycopg://user@host/name"
_SERVER = re.compile(
    r"postgresql(\+psycopg2?)?://(?P<account>.*@)?"
    r"(\[[0-9A-Fa-f:.%]*\]|[^@:/?\[\]]*)(:(?P<port>[^/?]*))?(/[^?]*)?(\?.*)?"
)


@reads("SQLAlchemy URL of SQLite or PostgreSQL")
def database(value: str) -> str:
    """A SQLAlchemy URL of SQLite or PostgreSQL. A message shows nothing of what may be in it
    besides: it may hold a password."""
    if not value:
        return value
    kind, colon, rest = text(value).partition("://")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind):
        raise ValueError(f"is no URL; {_DATABASE}")
    if not re.fullmatch(r"sqlite|postgresql(\+psycopg2?)?", kind):
        raise ValueError(f"{kind}:// is not supported; {_DATABASE}")
    if kind == "sqlite":
        if not re.match("/.", rest):
            raise ValueError(f"names no file; {_DATABASE}")
        if rest.startswith("/:memory:"):
            raise ValueError(f"each part of the service would have a table of its own; {_DATABASE}")
        return value
    server = _SERVER.fullmatch(value)
    if (account := server["account"] if server else None) and "@" in account[:-1]:
        raise ValueError("there are two @ in it; write one that belongs to the password as %40")
    if server is None or not re.fullmatch(r"\d{0,5}", server["port"] or ""):
        raise ValueError(
            "its port is no number; write postgresql+psycopg://user:password@host:5432/name, with "
            "signs of the password as %40 (@), %3A (:), %2F (/)"
        )
    return value


def choices(*allowed: str) -> Reader[tuple[str, ...]]:
    """Any of the allowed values, with commas or white space between them."""

    @reads(f"any of {_listed(allowed)}, separated by commas or white space")
    def parse(value: str) -> tuple[str, ...]:
        return tuple(choice(*allowed)(word) for word in re.split(r"[\s,]+", value) if word)

    return parse


@reads("names, separated by commas or white space")
def names(value: str) -> tuple[str, ...]:
    """Names that are the same in capital letters, with commas or white space between them."""
    return tuple(entry.lower() for entry in re.split(r"[\s,]+", value) if entry)


@reads("names, separated by commas or line breaks")
def users(value: str) -> tuple[str, ...]:
    """Names of accounts, as the web server gives them."""
    return tuple(text(entry.strip()) for entry in re.split(r"[,\n]", value) if entry.strip())


@reads("path of a URL, with a slash at both ends: `/birds-spool/`")
def location(value: str) -> str:
    """A location of the web server in front, by the letters that need no encoding in a URL."""
    if value and not re.fullmatch(r"/(?:[A-Za-z0-9_-]+/)+", value):
        raise ValueError(f"{value!r} is not a location; write /birds-spool/")
    return value


@reads("name of an HTTP header")
def header(value: str) -> str:
    """The name of a header (RFC 9110, section 5.1), of letters, digits and hyphens."""
    if value and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
        plain = value.upper().removeprefix("$").removeprefix("HTTP_").rstrip(":").replace("_", "-")
        hint = f"; write {plain.title()}" if re.fullmatch(r"[A-Z][A-Z0-9-]*", plain) else ""
        raise ValueError(f"{value!r} is not the name of a header{hint}")
    if value.lower() in ("authorization", "cookie", "host", "forwarded", "x-forwarded-for"):
        raise ValueError(f"{value} names no account; name the header that the proxy puts it into")
    return value


@reads("names of HTTP headers, separated by commas or white space")
def headers(value: str) -> tuple[str, ...]:
    """Names of headers, in small letters."""
    found = [entry for entry in re.split(r"[\s,]+", value) if entry]
    for entry in found:
        if not re.fullmatch(r"[A-Za-z0-9-]+", entry):
            plain = re.sub(r"[^A-Z0-9-]", "-", entry.upper().removeprefix("HTTP_").rstrip(":"))
            told = f"{entry!r} is not the name of a header; write {plain.title()}"
            raise ValueError(told)
    return tuple(entry.lower() for entry in found)


@reads("`section.option`, separated by commas or white space")
def options(value: str) -> tuple[str, ...]:
    """Options of the service's own sections."""
    found = names(value)
    for entry in found:
        if not all(entry.rpartition(".")[::2]):
            raise ValueError(f"{entry!r} names no section; write SECTION.{entry.strip('.')}")
    return found


@reads(f"networks or addresses, or `{UNIX_SOCKET}`, separated by commas or white space")
def peers(value: str) -> tuple[str, ...]:
    """Networks and addresses of hosts that connect, or :data:`UNIX_SOCKET`."""
    found = tuple(entry for entry in re.split(r"[\s,]+", value) if entry)
    for entry in found:
        if entry.startswith(f"{UNIX_SOCKET}:"):
            raise ValueError(f"{entry!r}: write {UNIX_SOCKET}, which is any of this host's sockets")
        _require_network(entry)
    _, hosts = addresses.split(found)
    for host in hosts - {UNIX_SOCKET}:
        raise ValueError(f"{host!r} is neither a network nor an address")
    return found


@reads("networks, addresses or host names, separated by commas or white space")
def networks(value: str) -> tuple[str, ...]:
    """Networks, addresses and host names, with commas or white space between them."""
    found = tuple(entry for entry in re.split(r"[\s,]+", value) if entry)
    for entry in found:
        if (url := re.fullmatch(r"\w+://([^/:]+).*", entry)) is not None:
            raise ValueError(f"{entry!r} is an address of the web; write {url[1]}")
        if re.fullmatch(r"[\d.]+-[\d.]+", entry):
            raise ValueError(f"{entry!r} is a range; write networks such as 10.0.0.0/29")
        if not re.fullmatch(r"[\w.-]+|[0-9A-Fa-f.:]+(/\d+)?", entry):
            raise ValueError(f"{entry!r} is neither a network nor a host name")
        _require_network(entry)
    addresses.split(found)
    return found


def _require_network(entry: str) -> None:
    """See that a network is written by its first address.

    Raises:
        ValueError: it is written by another one.
    """
    if "/" not in entry:
        return
    try:
        network = ipaddress.ip_network(entry, strict=False)
        first = ipaddress.ip_address(entry.partition("/")[0])
    except ValueError:
        return  # told by whoever splits them
    if first != network.network_address:
        raise ValueError(f"{entry} has host bits set; write {network}")


@reads("networks, addresses or host names, separated by commas or white space, or `*`")
def receivers(value: str) -> tuple[str, ...]:
    """As :func:`networks`, with ``*`` for all public addresses."""
    found = [entry for entry in re.split(r"[\s,]+", value) if entry]
    known = networks(" ".join(entry for entry in found if entry != "*"))
    return (*known, *(["*"] if "*" in found else []))


@reads("address that begins with `http://` or `https://`")
def http_address(value: str) -> str:
    """An address to which something is sent. A message shows nothing of it: it may hold a token."""
    if value and not re.fullmatch(r"https?://[^\s/]\S*", value):
        raise ValueError("is no address; write https://host/path")
    return value


@reads("mail addresses, separated by commas or white space")
def mail_addresses(value: str) -> tuple[str, ...]:
    """Addresses of people."""
    found = tuple(entry for entry in re.split(r"[\s,]+", value) if entry)
    for entry in found:
        if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", entry):
            raise ValueError(f"{entry!r} is not a mail address; write name@host")
    return found


@reads("mail address")
def mail_address(value: str) -> str:
    """An address of a sender."""
    if value and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", value):
        raise ValueError(f"{value!r} is not a mail address; write name@host")
    return value


@reads("`http://host:port`")
def proxy(value: str) -> str:
    """``http://host:port``. It is in each job's dump, so it has no password in it."""
    if value and not re.fullmatch(r"http://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?", value):
        raise ValueError(f"{value!r} is not of the form http://host:port")
    return value


@reads("seconds, or `HH:MM:SS`")
def seconds(value: str) -> float:
    """A positive number of seconds, or ``HH:MM:SS``."""
    if ":" in value:
        return float(walltime(value))
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e9:
        raise ValueError(f"{value!r} is not a positive number of seconds")
    return number


@reads("`HH:MM:SS` or `D-HH:MM:SS`")
def walltime(value: str) -> int:
    """``HH:MM:SS`` or ``D-HH:MM:SS`` (sbatch(1), ``--time``); seconds. A bare number is refused,
    since it means minutes to Slurm and seconds to the others."""
    match = _WALLTIME.fullmatch(value)
    if not match:
        raise ValueError(f"{value!r} is not a time; write HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, secs = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + secs
    if not total:
        raise ValueError("a walltime of zero ends every job at once")
    return total


@reads("amount of memory: `512M`, `2G`; a bare number means MiB")
def memory(value: str) -> int:
    """``2G``, ``512M`` (a bare number means MiB); MiB."""
    match = _MEMORY.fullmatch(value)
    size = int(int(match[1]) * _MEBIBYTES[match[2].upper()]) if match else 0
    if size < 1:
        raise ValueError(f"{value!r} is not an amount of memory; write 512M or 2G")
    return size


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"`{value}`" for value in values)


@reads("`yes` or `no`")
def boolean(value: str) -> bool:
    """``yes``/``no``, ``true``/``false``, ``on``/``off``, ``1``/``0``."""
    known = {"yes": True, "true": True, "on": True, "1": True}
    known |= {"no": False, "false": False, "off": False, "0": False}
    if value.lower() not in known:
        raise ValueError(f"{value!r} is neither yes nor no")
    return known[value.lower()]


def choice(*allowed: str, aliases: Mapping[str, str] = MappingProxyType({})) -> Reader[str]:
    """One of the allowed values, or an alias for one."""

    @reads(f"one of {_listed((*allowed, *aliases))}")
    def parse(value: str) -> str:
        value = aliases.get(value, value)
        if value not in allowed:
            meant = " or ".join(synonyms.values_meant(value, allowed))
            hint = f"; did you mean {meant}?" if meant else ""
            raise ValueError(f"{value!r} is not one of: {', '.join(allowed)}{hint}")
        return value

    return parse


@reads("TCP port")
def port(value: str) -> int:
    """A TCP port."""
    number = integer(1)(value)
    if number > 65535:
        raise ValueError(f"{value!r} is not a port (1-65535)")
    return number


@reads("`host:port`, or a port of this host's own address 127.0.0.1")
def listening(value: str) -> tuple[str, int]:
    """An address to listen on: ``127.0.0.1:9464``, ``[::1]:9464``, or the port alone, which is then
    reached from this host only."""
    host, colon, number = value.rpartition(":")
    if colon and not host:
        raise ValueError(f"{value!r} has no host; write 0.0.0.0:{number} for all addresses")
    plain = re.fullmatch(r"(?:\w+://)?(\[[^\]/]+\]|[^\[\]:/\s]+)(?::(\d+))?(/.*)?", value)
    if not number.isdigit() or re.search(r"[/\s]", value):
        meant = f"{plain[1]}:{plain[2] or 'PORT'}" if plain else "HOST:PORT"
        raise ValueError(f"{value!r} is not a host and a port; write {meant}")
    if host.count(":") and not host.startswith("["):
        raise ValueError(f"{value!r}: write [{host}]:{number}, an IPv6 address in brackets")
    return (host.strip("[]") if colon else "127.0.0.1"), port(number)


@reads("one entry per line")
def lines(value: str) -> tuple[str, ...]:
    """One entry a line; empty lines do not count."""
    return tuple(text(line.strip()) for line in value.splitlines() if line.strip())


@reads("`NAME=value`, one per line")
def variables(value: str) -> Mapping[str, str]:
    """``NAME=value``, one per line."""
    found = {}
    for line in lines(value):
        name, equals, content = line.partition("=")
        if not equals or not _NAME.fullmatch(name):
            plain = re.sub(r"^(export|set|setenv)\s+|\s+(?==)|(?<==)\s+", "", line)
            hint = f"; write {plain}" if _VARIABLE.match(plain) else ""
            raise ValueError(f"{line!r} is not of the form NAME=value{hint}")
        if re.fullmatch(r"([\"']).*\1", content):
            told = f"the quotes would be part of it; write {name}={content[1:-1]}"
            raise ValueError(f"{line!r}: {told}")
        if re.search(r",\s*[A-Za-z_]\w*=", content):
            raise ValueError(f"{line!r}: commas end no value; write each on a line of its own")
        found[name] = content
    return MappingProxyType(found)


@reads("one to three lower-case letters")
def job_prefix(value: str) -> str:
    """One to three lower-case letters."""
    if not re.fullmatch(r"[a-z]{1,3}", value):
        raise ValueError(f"{value!r} is not one to three letters a-z")
    return value
