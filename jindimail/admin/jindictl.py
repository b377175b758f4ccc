"""`jindictl`: the command of those who run a node."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from jindimail.admin import manual
from jindimail.admin.client import ControlClient, NotReachable, Refused, Silent
from jindimail.admin.commands import (
    EXIT_CODES,
    EXIT_DAMAGED,
    EXIT_NOT_REACHABLE,
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_SILENT,
    EXIT_USAGE,
    START_COMMAND,
    parserOf,
)
from jindimail.admin.completion import script
from jindimail.admin.output import Output, confirmed, readPassword
from jindimail.admin.verb import PATH, SECRET, Verb
from jindimail.admin.verbs import VERBS
from jindimail.config import DEFAULT_PATH, Configuration, load
from jindimail.errors import ConfigError, JindimailError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status (commands.EXIT_CODES)."""
    parser = parserOf(VERBS)
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    output = Output(
        isJson=getattr(options, "json", False),
        isQuiet=getattr(options, "quiet", False),
        out=sys.stdout,
        err=sys.stderr,
    )
    try:
        status = _run(parser, options, output)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except ConfigError as error:
        for problem in error.problems:
            output.error("config", problem)
        return EXIT_USAGE
    except Silent as problem:
        output.error(
            "silent", f"{problem}: it hangs, or its machine is overloaded (what was asked may yet be done)"
        )
        return EXIT_SILENT
    except NotReachable as problem:
        isForbidden = isinstance(problem.__cause__, PermissionError)
        start = f"is the node running? {START_COMMAND.format(path=configPath(options))}"
        hint = "only root and the node's own user may ask it" if isForbidden else start
        output.error("notReachable", f"{problem} ({hint})")
        return EXIT_NOT_REACHABLE
    except Refused as refused:
        output.error(refused.code, refused.text)
        return EXIT_USAGE if refused.code == "usage" else EXIT_REFUSED
    except ValueError as problem:
        output.error("usage", str(problem))
        return EXIT_USAGE
    except (OSError, JindimailError) as problem:
        output.error("failed", str(problem))
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return 130


def configPath(options: argparse.Namespace) -> str:
    """The configuration file that a command is about."""
    return str(getattr(options, "config", "") or os.environ.get("JINDIMAIL_CONFIG") or DEFAULT_PATH)


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace, output: Output) -> int:
    verb = options.verb
    if verb == "sessions list":
        verb = VERBS[verb]
    if isinstance(verb, Verb) and not getattr(options, "offline", False):
        try:
            return _ask(verb, options, output)
        except NotReachable as problem:
            if (
                isinstance(problem, Silent)
                or verb.words != ("check",)
                or options.cluster
                or hasattr(options, "socket")
            ):
                raise
    if verb == "completion":
        output.text(script(parser, options.shell))
    elif verb == "config example":
        output.text(manual.exampleFile())
    elif verb == "config manual":
        isNodeIni = options.page == "node.ini"
        output.text(manual.configurationPage() if isNodeIni else manual.commandPage(parser, EXIT_CODES))
    elif verb == "config check":
        return _checkConfig(options, output)
    else:
        return _offline(verb, options, output)
    return EXIT_OK


def _checkConfig(options: argparse.Namespace, output: Output) -> int:
    from jindimail.admin.startcheck import checkedConfiguration

    path = options.file or configPath(options)
    checkedConfiguration(path, isFounded=False)
    output.result({"file": path, "problems": []})
    return EXIT_OK


def _offline(verb: Any, options: argparse.Namespace, output: Output) -> int:
    """The commands that open a store of their own."""
    from jindimail.admin import offline

    if verb == "init":
        return offline.init(options, configPath(options), output)
    if verb == "join":
        return offline.join(options, configPath(options), output)
    configuration = load(configPath(options))
    if verb == "restore":
        return offline.restore(configuration, options.directory, output, isAlone=options.alone)
    result = offline.check(configuration, output)
    output.result(result)
    return EXIT_OK if result["isSound"] else EXIT_DAMAGED


def _ask(verb: Verb, options: argparse.Namespace, output: Output) -> int:
    """Ask the running node, page by page where there are pages."""
    given = {argument.name: getattr(options, argument.name, None) for argument in verb.arguments}
    if verb.confirm and not options.yes:
        _confirm(verb, given, options, output)
    for argument in verb.arguments:
        if argument.kind == PATH:
            given[argument.name] = os.path.abspath(str(given[argument.name]))
        elif argument.kind == SECRET:
            given[argument.name] = readPassword(options.password_stdin, sys.stdin)
    client = _client(options)
    try:
        result = client.ask(" ".join(verb.words), given, output.progress)
        while isinstance(result, dict) and result.get("after") is not None:
            page = client.ask(" ".join(verb.words), {**given, "after": result["after"]}, output.progress)
            result = {"rows": result["rows"] + page["rows"], "after": page["after"]}
        if verb.isSorted:
            result["rows"].sort(key=lambda row: row[verb.columns[0]])
    finally:
        client.close()
    output.result(result, verb.columns)
    return EXIT_DAMAGED if verb.words == ("check",) and not result["isSound"] else EXIT_OK


def _confirm(verb: Verb, given: dict[str, Any], options: argparse.Namespace, output: Output) -> None:
    """Say what will be lost, and ask."""
    foreseen: dict[str, Any] = {}
    if verb.foreseen:
        client = _client(options)
        try:
            foreseen = client.ask(verb.foreseen, given, output.progress)
        finally:
            client.close()
        output.result(foreseen)
    shown = {name: " ".join(each) if isinstance(each, list) else each for name, each in given.items()}
    if not confirmed(verb.confirm.format(**foreseen, **shown), sys.stdin):
        raise ValueError("not confirmed (use --yes)")


def _client(options: argparse.Namespace) -> ControlClient:
    return ControlClient(getattr(options, "socket", "") or _configuration(options).controlPath)


def _configuration(options: argparse.Namespace) -> Configuration:
    return load(configPath(options))


if __name__ == "__main__":
    sys.exit(main())
