"""The argparse tree of jindictl: one command for each verb, and those that need no running node."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TypeAlias

from jindimail.admin import verb as kinds
from jindimail.admin.client import SILENT_SECONDS
from jindimail.admin.completion import SHELLS
from jindimail.admin.verb import Argument, Verb
from jindimail.config import DEFAULT_PATH, keyName

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# No pid file: twistd would leave it where it is started, and take another process of that number for the node after a power cut.
START_COMMAND = "twistd -n --pidfile= jindimail --config {path}"

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_NOT_REACHABLE, EXIT_DAMAGED, EXIT_SILENT = range(6)
EXIT_CODES = {
    EXIT_OK: "done",
    EXIT_REFUSED: "refused, or not found; the message says what",
    EXIT_USAGE: "the command line or the configuration is wrong",
    EXIT_NOT_REACHABLE: "no node answers on the control socket",
    EXIT_DAMAGED: "check found damage",
    EXIT_SILENT: f"the node is there, and says nothing for {SILENT_SECONDS:.0f} seconds",
}

_DESCRIPTION = """
Found, join, administer and examine a jindimail node. Most commands ask the running node over its control socket;
init, join, restore, config, completion and check --offline need none.
"""
_GROUPS = {
    "queue": "Mail that waits for buckets that do not answer",
    "domain": "The domains that mail is taken for",
    "user": "The users and their accounts",
    "alias": "Addresses that lead to other addresses",
    "sessions": "Who is connected",
    "config": "The configuration file",
    "cluster": "The array: its nodes and what they hold",
}


class _Help(argparse.RawDescriptionHelpFormatter):
    """Fills descriptions, and keeps the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def parserOf(verbs: Mapping[str, Verb]) -> argparse.ArgumentParser:
    """The whole parser. What it parses has `verb` (a Verb, or the name of an offline command)."""
    common = _commonOptions()
    parser = argparse.ArgumentParser(
        prog="jindictl",
        description=" ".join(_DESCRIPTION.split()),
        epilog="Exit status: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
        parents=[common],
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    groups: dict[str, Commands] = {}

    def add(words: tuple[str, ...], doc: str, examples: tuple[str, ...] = ()) -> argparse.ArgumentParser:
        into = commands
        if len(words) == 2:
            into = groups.get(words[0]) or _group(commands, groups, words[0], common)
        return into.add_parser(
            words[-1],
            help=doc.partition(". ")[0].rstrip("."),
            description=doc,
            parents=[common],
            epilog="Examples:\n  " + "\n  ".join(examples) if examples else None,
            formatter_class=_Help,
        )

    _addInit(add(("init",), _INIT, _INIT_EXAMPLES))
    _addJoin(add(("join",), _JOIN, _JOIN_EXAMPLES))
    for each in verbs.values():
        command = add(each.words, each.doc, each.examples)
        command.set_defaults(verb=each)
        for argument in each.arguments:
            _addArgument(command, argument)
        if each.confirm:
            command.add_argument("--yes", action="store_true", help="do not ask")
        if each.words == ("check",):
            command.add_argument(
                "--offline", action="store_true", help="examine the store of a node that is not running"
            )
    _addOffline(add)
    return parser


def _commonOptions() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    suppressed = argparse.SUPPRESS
    common.add_argument("--json", action="store_true", default=suppressed, help="print JSON, for scripts")
    common.add_argument(
        "--config",
        metavar="FILE",
        default=suppressed,
        help=f"the node's configuration (default: $JINDIMAIL_CONFIG, or {DEFAULT_PATH})",
    )
    common.add_argument(
        "--socket", metavar="PATH", default=suppressed, help="the control socket, instead of --config"
    )
    common.add_argument("--quiet", action="store_true", default=suppressed, help="show no progress")
    return common


def _group(
    commands: Commands, groups: dict[str, Commands], name: str, common: argparse.ArgumentParser
) -> Commands:
    parser = commands.add_parser(name, help=_GROUPS[name], description=_GROUPS[name] + ".", parents=[common])
    groups[name] = parser.add_subparsers(title="commands", metavar="COMMAND", required=name != "sessions")
    if name == "sessions":
        parser.set_defaults(verb="sessions list")
    return groups[name]


def _addArgument(command: argparse.ArgumentParser, argument: Argument) -> None:
    if argument.kind == kinds.SECRET:
        command.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of the standard input (the default when that is no terminal)",
        )
    elif argument.name == "after":
        return  # jindictl turns the pages itself
    elif argument.kind == kinds.SWITCH:
        command.add_argument(
            "--" + keyName(argument.name),
            dest=argument.name,
            action=argparse.BooleanOptionalAction,
            help=argument.doc,
            default=argument.default,
        )
    elif argument.option:
        command.add_argument(
            "--" + keyName(argument.name),
            dest=argument.name,
            type=int if argument.kind == kinds.NUMBER else str,
            nargs="+" if argument.kind == kinds.TEXTS else None,
            metavar=_metavar(argument),
            default=argument.default,
            help=argument.doc,
        )
    else:
        command.add_argument(
            argument.name,
            type=int if argument.kind == kinds.NUMBER else str,
            nargs="+" if argument.kind == kinds.TEXTS else None,
            metavar=_metavar(argument),
            help=argument.doc,
        )


def _metavar(argument: Argument) -> str:
    return {kinds.NUMBER: "N", kinds.OCTETS: "OCTETS"}.get(argument.kind, keyName(argument.name).upper())


_INIT = (
    "Found a node: its data directory, its configuration if there is none, a self-signed certificate, and, if asked for, "
    "a first domain and user."
)
_INIT_EXAMPLES = (
    "jindictl init /var/lib/jindimail --config /etc/jindimail/node.ini --name node1",
    "jindictl init /srv/mail --domain example.org --user ada@example.org",
)


def _addInit(command: argparse.ArgumentParser) -> None:
    command.set_defaults(verb="init")
    command.add_argument(
        "directory", metavar="DIR", nargs="?", default="", help="the data directory to found"
    )
    command.add_argument("--name", default="", help="the node's name (default: this host's)")
    command.add_argument("--host-name", dest="hostName", default="", help="the name it greets with")
    command.add_argument("--domain", default="", help="a first domain")
    command.add_argument(
        "--user", default="", help="a first user of it, an address; its password is asked for"
    )
    command.add_argument(
        "--password-stdin", action="store_true", help="read the user's password from the standard input"
    )


_JOIN = (
    "Join an array with a token from `jindictl cluster invite`: the data directory, the configuration if there is none, and the "
    "node's place in the array. A token lets one node in; when the answer was lost, the same command may be repeated."
)
_JOIN_EXAMPLES = (
    "jindictl join TOKEN --directory /var/lib/jindimail --name node2 --host-name mx2.example.org",
    "jindictl join TOKEN --config /etc/jindimail/node.ini",
)


def _addJoin(command: argparse.ArgumentParser) -> None:
    command.set_defaults(verb="join")
    command.add_argument(
        "token",
        metavar="TOKEN",
        help="what `jindictl cluster invite` printed; - reads it from the standard input, so that it is in no list of processes",
    )
    command.add_argument(
        "--directory", default="", help="the data directory, where there is no configuration yet"
    )
    command.add_argument("--name", default="", help="the node's name (default: this host's)")
    command.add_argument(
        "--host-name",
        dest="hostName",
        default="",
        help="the name it greets with, and that the other nodes reach it by",
    )


def _addOffline(add: Callable[..., argparse.ArgumentParser]) -> None:
    restore = add(
        ("restore",),
        "Fill the configured data directory, which must be empty or absent, from a backup. The node must not be running.",
        ("jindictl restore /backup/monday", "jindictl restore /backup/monday --alone"),
    )
    restore.set_defaults(verb="restore")
    restore.add_argument("directory", metavar="DIR", help="the backup")
    restore.add_argument(
        "--alone",
        action="store_true",
        help="the array had other nodes, and all of them are lost for good: `cluster recover` then founds it anew from this node alone",
    )
    example = add(
        ("config", "example"),
        "Print a configuration file that names every key.",
        ("jindictl config example",),
    )
    example.set_defaults(verb="config example")
    check = add(
        ("config", "check"),
        "Check a configuration file and list all its problems.",
        ("jindictl config check /etc/jindimail/node.ini",),
    )
    check.set_defaults(verb="config check")
    check.add_argument("file", metavar="FILE", nargs="?", default="", help="the file (default: the node's)")
    manual = add(("config", "manual"), "Print a manual page in roff.", ("jindictl config manual | man -l -",))
    manual.set_defaults(verb="config manual")
    manual.add_argument(
        "page",
        metavar="PAGE",
        nargs="?",
        default="node.ini",
        choices=("node.ini", "jindictl"),
        help="node.ini (the default) or jindictl",
    )
    completion = add(
        ("completion",), "Print a shell's completion script.", ("source <(jindictl completion bash)",)
    )
    completion.set_defaults(verb="completion")
    completion.add_argument("shell", choices=SHELLS, help="the shell that completes")
