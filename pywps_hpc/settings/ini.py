"""Configuration files in INI form, and what is wrong with one that is not, for administrators."""

from __future__ import annotations

import ast
import codecs
import configparser
from collections.abc import Sequence
from pathlib import Path

#: Typographic quotes, a pattern.
QUOTES = "[\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb]"
#: Byte order marks -> the encoding as iconv(1) calls it.
_MARKS = ((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))


def parsed(file: Path, *, delimiters: Sequence[str] = ("=", ":")) -> configparser.RawConfigParser:
    """The sections of a file. Variables and ``%`` stay as they are written.

    Args:
        file: to read.
        delimiters: between a key and its value.

    Raises:
        ValueError: the file is not of this form; with the line and the remedy.
        OSError: it cannot be read.
    """
    # PyWPS expands environment variables when it reads a value, so do we.
    parser = configparser.RawConfigParser(default_section="\0", delimiters=delimiters)
    try:
        parser.read_string(_text(file.read_bytes(), file), source=str(file))
    except configparser.Error as error:
        raise ValueError(_explained(error)) from None
    return parser


def _text(content: bytes, file: Path) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "LATIN1")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        where = "it" if encoding == "UTF-16" else f"line {line}"
        raise ValueError(
            f"{where} is not in UTF-8; write it anew: iconv -f {encoding} -t UTF-8 {file}"
        ) from None
    if text.startswith("\ufeff"):
        raise ValueError(
            "line 1: begins with a byte order mark, with which PyWPS cannot read the file; remove "
            rf"it: sed -i '1s/^\xEF\xBB\xBF//' {file}"
        )
    if "\r" in text.replace("\r\n", ""):
        raise ValueError(
            "its lines end with carriage returns alone; write line feeds: "
            rf"sed -i 's/\r\n*/\n/g' {file}"
        )
    return text


def _explained(error: configparser.Error) -> str:
    match error:
        case configparser.DuplicateSectionError():
            what = f"line {error.lineno}: [{error.section}] is there a second time"
            return f"{what}; write its keys into the first one"
        case configparser.DuplicateOptionError():
            what = f"line {error.lineno}: [{error.section}] {error.option} is set a second time"
            return f"{what}; remove one of the two lines"
        case configparser.MissingSectionHeaderError():
            what = f"line {error.lineno}: {str(error.line).strip()!r} is in no section"
            return f"{what}; write [SECTION] above it"
        case configparser.ParsingError():
            line, text = error.errors[0]
            shown = ast.literal_eval(text) if text[:1] in "'\"" else text
            what = f"line {line}: {shown.strip()!r} is neither [SECTION] nor KEY = VALUE"
            return f"{what}; write it as one of these, or as a comment (#)"
    return " ".join(str(error).split())
