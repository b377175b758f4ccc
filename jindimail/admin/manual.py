"""The example configuration and the manual pages, printed from what the fields and the commands say of themselves."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field
from typing import Any

from jindimail.config import SECTIONS, keys

WIDTH = 100
COMMON = ("json", "config", "socket", "quiet")  # options of every command
_COMMON_USAGE = " [-h] [--json] [--config FILE] [--socket PATH] [--quiet]"


def exampleFile() -> str:
    """A `node.ini` that names every key with its documentation, default and an example; it reads as it stands."""
    lines = [
        "# The configuration of a jindimail node. Keys that are commented out show an example or their default."
    ]
    for name, section in SECTIONS.items():
        lines += ["", *_comment(_plain(section.__doc__)), f"[{name}]"]
        for key, each in keys(section):
            lines += ["", *_comment(_documentation(each)), _exampleLine(key, each)]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())


def _documentation(each: Field[Any]) -> str:
    metadata = each.metadata
    live = " Reread on SIGHUP." if metadata["live"] else ""
    return f"{metadata['doc']} ({metadata['kind'].words}; {_default(each)}){live}"


def _default(each: Field[Any]) -> str:
    if each.default is MISSING:
        return "must be given"
    otherwise = each.metadata["otherwise"]
    if otherwise:
        return f"default: {otherwise}"
    written = each.metadata["kind"].write(each.default)
    return f"default: {written}" if written else "default: none"


def _exampleLine(key: str, each: Field[Any]) -> str:
    example = each.metadata["example"]
    if each.default is MISSING:
        return f"{key} = {example}"
    return f"#{key} = {example or each.metadata['kind'].write(each.default)}"


# --- manual pages (man(7)) ---------------------------------------------------------------------------------


def configurationPage() -> str:
    """The manual page node.ini(5)."""
    lines = [
        '.TH "NODE.INI" "5" "" "jindimail" "jindimail"',
        ".SH NAME",
        "node.ini \\- the configuration of a jindimail node",
        ".SH SYNOPSIS",
        ".B twistd jindimail \\-\\-config",
        ".I node.ini",
        ".SH DESCRIPTION",
        _roff(
            "An INI file in UTF-8: sections in brackets, one `key = value` a line, a longer value goes on in indented lines, "
            "lines that begin with # or ; are comments. It says only what differs from node to node; all else of the array is "
            "replicated and changed with jindictl. Unknown sections and keys are errors, and a node lists all errors of its "
            "file before it listens anywhere. `jindictl config check` does the same; `jindictl config example` prints "
            "a file to begin with. On SIGHUP a node reads the file again and takes over the keys marked so; "
            "a file with errors is logged and changes nothing."
        ),
    ]
    for name, section in SECTIONS.items():
        lines += [f".SH [{name}]", _roff(_plain(section.__doc__))]
        for key, each in keys(section):
            lines += [
                ".TP",
                f"\\fB{_roff(key)}\\fR ({_roff(each.metadata['kind'].words)}; {_roff(_default(each))})",
            ]
            lines.append(
                _roff(each.metadata["doc"] + (" Reread on SIGHUP." if each.metadata["live"] else ""))
            )
    lines += [".SH SEE ALSO", ".BR jindictl (8),", ".BR twistd (1)"]
    return "\n".join(lines) + "\n"


def commandPage(parser: argparse.ArgumentParser, exitCodes: dict[int, str]) -> str:
    """The manual page jindictl(8), from the command's own parser."""
    lines = [
        '.TH "JINDICTL" "8" "" "jindimail" "jindimail"',
        ".SH NAME",
        "jindictl \\- found, administer and examine a jindimail node",
        ".SH SYNOPSIS",
        ".B jindictl",
        ".RI [ options ]",
        ".I command",
        ".RI [ arguments ]",
        ".SH DESCRIPTION",
        _roff(_plain(parser.description)),
        ".SH OPTIONS",
        "Every command takes these.",
    ]
    for action in parser._actions:
        if action.dest in COMMON:
            lines += [".TP", f"\\fB{_roff(action.option_strings[0])}\\fR", _roff(str(action.help))]
    lines.append(".SH COMMANDS")
    for command in leaves(parser):
        usage = " ".join(command.format_usage().removeprefix("usage: ").split()).replace(_COMMON_USAGE, "")
        lines += [".TP", f"\\fB{_roff(usage)}\\fR", _roff(_plain(command.description))]
        lines += _arguments(command)
    lines += [".SH EXIT STATUS"]
    for code, meaning in exitCodes.items():
        lines += [".TP", f"\\fB{code}\\fR", _roff(meaning)]
    lines += [".SH SEE ALSO", ".BR node.ini (5),", ".BR twistd (1)"]
    return "\n".join(lines) + "\n"


def _arguments(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        if action.help in (None, argparse.SUPPRESS) or action.dest in ("help", *COMMON):
            continue
        words = ", ".join(action.option_strings) or action.metavar or action.dest
        yield ".RS\n.TP"
        yield f"\\fI{_roff(str(words))}\\fR\n{_roff(str(action.help))}\n.RE"


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands, those without commands of their own, in order."""
    children = subparsers(parser)
    if not children:
        yield parser
    for child in children.values():
        yield from leaves(child)


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return escaped if not escaped.startswith(".") else "\\&" + escaped
