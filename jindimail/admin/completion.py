"""Shell completion scripts for bash and zsh, printed from the argparse tree."""

from __future__ import annotations

import argparse

from jindimail.admin.manual import subparsers

SHELLS = ("bash", "zsh")

_BASH = """\
# bash completion for jindictl; load it with:  source <(jindictl completion bash)
_jindictl() {
    local current="${COMP_WORDS[COMP_CWORD]}" path="" word
    local -A commands=(
%(commands)s
    )
    local -A options=(
%(options)s
    )
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " ${commands[${path:-.}]} " == *" $word "* ]] && path="${path:+$path }$word"
    done
    if [[ "$current" == -* ]]; then
        COMPREPLY=($(compgen -W "${options[${path:-.}]}" -- "$current"))
    elif [[ -n "${commands[${path:-.}]}" ]]; then
        COMPREPLY=($(compgen -W "${commands[${path:-.}]}" -- "$current"))
    else
        COMPREPLY=($(compgen -f -- "$current"))
    fi
}
complete -o filenames -F _jindictl jindictl
"""

_ZSH = """\
#compdef jindictl
# zsh completion for jindictl; load it with:  source <(jindictl completion zsh)
autoload -U +X bashcompinit && bashcompinit
"""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """A completion script for one of SHELLS."""
    commands: list[str] = []
    options: list[str] = []
    _collect(parser, "", commands, options)
    bash = _BASH % {"commands": "\n".join(commands), "options": "\n".join(options)}
    return bash if shell == "bash" else _ZSH + bash


def _collect(parser: argparse.ArgumentParser, path: str, commands: list[str], options: list[str]) -> None:
    children = subparsers(parser)
    strings = [each for action in parser._actions for each in action.option_strings if each.startswith("--")]
    if children:
        commands.append(
            f"        [{path or '.'}]='{' '.join(children)}'".replace("[", '["', 1).replace("]", '"]', 1)
        )
    choices = [
        str(each) for action in parser._actions if not action.option_strings for each in action.choices or ()
    ]
    if choices and not children:
        commands.append(f"""        ["{path}"]='{" ".join(choices)}'""")
    options.append(f"""        ["{path or "."}"]='{" ".join(strings)}'""")
    for name, child in children.items():
        _collect(child, f"{path} {name}".strip(), commands, options)
