"""The generated pages of docs/: `python -m tests.pages` (`make docs`) writes them, tests/test_house.py holds them equal."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

from jindimail.admin import manual, webmetrics
from jindimail.admin.commands import EXIT_CODES, parserOf
from jindimail.admin.verbs import VERBS

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
LAYERS = (  # top down, as in setup.cfg
    ("The composition root", ("jindimail", ("service", "options", "edges"))),
    ("SMTP, submission, LMTP", "jindimail/smtp"),
    ("POP3", "jindimail/pop3"),
    ("IMAP4", "jindimail/imap4"),
    ("IMAP4 commands", "jindimail/imap4/commands"),
    ("Administration", "jindimail/admin"),
    ("What edges share", "jindimail/edge"),
    ("Delivery", "jindimail/delivery"),
    ("Queue", "jindimail/queue"),
    ("Mailboxes", "jindimail/mailbox"),
    ("Directory", "jindimail/directory"),
    ("Cluster", "jindimail/cluster"),
    ("Replication", "jindimail/replication"),
    ("Store", "jindimail/store"),
    ("Messages", "jindimail/message"),
    (
        "Common ground",
        (
            "jindimail",
            ("interfaces", "model", "errors", "config", "kinds", "counts", "deadlines", "networks", "tls"),
        ),
    ),
)
DECISIONS = ROOT / "docs" / "adr" / "README.md"
BEGIN_DECISIONS, END_DECISIONS = "<!-- decisions: made by `make docs` -->", "<!-- end of decisions -->"
BEGIN, END = "<!-- modules: made by `make docs` -->", "<!-- end of modules -->"


def pages() -> dict[Path, str]:
    """All generated pages with what they must hold."""
    return {
        ROOT / "docs" / "node.ini.example": manual.exampleFile(),
        ROOT / "docs" / "node.ini.5": manual.configurationPage(),
        ROOT / "docs" / "jindictl.8": manual.commandPage(parserOf(VERBS), EXIT_CODES),
        ROOT / "docs" / "metrics.md": webmetrics.page(),
        ARCHITECTURE: architecture(ARCHITECTURE.read_text("utf-8")),
        DECISIONS: between(DECISIONS.read_text("utf-8"), BEGIN_DECISIONS, END_DECISIONS, decisions()),
    }


def architecture(text: str) -> str:
    """The architecture page with its lists of modules made anew."""
    return between(text, BEGIN, END, modules())


def between(text: str, begin: str, end: str, made: str) -> str:
    """A page with what stands between two marks made anew."""
    head, _, rest = text.partition(begin)
    tail = rest.partition(end)[2]
    return f"{head}{begin}\n\n{made}\n{end}{tail}"


def decisions() -> str:
    """Every decision with its title, by number."""
    lines = []
    for path in sorted(DECISIONS.parent.glob("[0-9]*.md")):
        title = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{path.name[:4]}]({path.name}): {title}\n")
    return "".join(lines)


def modules() -> str:
    """Every module with the first sentence of its docstring, by layer."""
    lines: list[str] = []
    for title, where in LAYERS:
        if isinstance(where, str):
            folder, names = ROOT / where, moduleNames(ROOT / where)
        else:
            folder, names = ROOT / where[0], list(where[1])
        if names:
            place = folder.relative_to(ROOT)
            lines += [f"**{title}**, `{place}/`: {firstSentence(folder / '__init__.py')}", ""]
            lines += [f"- `{name}`: {firstSentence(folder / f'{name}.py')}" for name in names]
            lines.append("")
    return "\n".join(lines)


def moduleNames(folder: Path) -> list[str]:
    """The modules of a package, sorted."""
    return sorted(path.stem for path in sources(folder) if path.parent == folder and path.stem != "__init__")


def sources(folder: Path) -> list[Path]:
    """The Python files under a folder, sorted: those that git knows, or all where there is no git."""
    command = ["git", "ls-files", "--cached", "--", str(folder)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        known = [ROOT / line for line in done.stdout.splitlines() if line.endswith(".py")]
    except OSError:
        known = []
    return sorted(path for path in known or folder.rglob("*.py") if path.exists())


def firstSentence(path: Path) -> str:
    """The first sentence of a module's docstring, without the references in parentheses."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    first = re.split(r"(?<=[.!?])\s+(?=[A-Z`])", " ".join(docstring.partition("\n\n")[0].split()))[0]
    return re.sub(r" \((?:RFC|design)[^)]*\)", "", first).rstrip(".") + "."


if __name__ == "__main__":
    for page, content in pages().items():
        page.write_text(content, encoding="utf-8")
