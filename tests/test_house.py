"""The house: what must hold of the tree as a whole, whoever adds to it."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.pages import ARCHITECTURE, ROOT, pages, sources

PACKAGE = ROOT / "jindimail"
IMPURE = {"twisted", "lmdb", "time", "random", "secrets", "threading", "asyncio", "socket"}
PARTLY_PURE = {"jindimail.store.memory"}  # says so of a class
WORKPLACE = re.compile(r"/work/|/root/|/home/[a-z]|/tmp/(?!\w*\.\.\.)[a-z]|/opt/")
FUNCTION_LINES_MAX, MODULE_LINES_MAX = 50, 500
LONG_FUNCTIONS = {
    ("jindimail.cluster.banana", "feed")
}  # one loop over all octets between nodes: a call an item costs
TEXT_SUFFIXES = {".py", ".md", ".cfg", ".toml", ".ini", ".sh", ".c", ".5", ".8", ".example", ".txt", ""}


def setup() -> ConfigParser:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def packageModules() -> Iterator[tuple[str, Path]]:
    for path in sources(PACKAGE):
        if path.name != "__init__.py":
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def docstringOf(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_generatedPageIsCurrent(page: Path) -> None:
    assert page.read_text("utf-8") == pages()[page], "run `make docs`"


def test_everyModuleStandsInTheArchitecture() -> None:
    text = ARCHITECTURE.read_text("utf-8")
    missing = [name for name, path in packageModules() if f"- `{path.stem}`: " not in text]
    assert missing == []


def test_everyModuleSaysWhatItIs() -> None:
    assert [name for name, path in packageModules() if not docstringOf(path)] == []


def test_everyModuleThatCallsItselfPureIsInTheContract() -> None:
    section = setup()["importlinter:contract:pure"]
    listed = set(section["source_modules"].split())
    missing = []
    for name, path in packageModules():
        callsItselfPure = re.search(r"(^|\s|\()[Pp]ure(\.|:|;|\)| )", docstringOf(path)) is not None
        isListed = any(name == each or name.startswith(f"{each}.") for each in listed)
        if callsItselfPure and not isListed and name not in PARTLY_PURE:
            missing.append(name)
    assert missing == []


def test_pureContractForbidsWhatMakesImpure() -> None:
    assert set(setup()["importlinter:contract:pure"]["forbidden_modules"].split()) >= IMPURE


def test_everyPackageIsInstalledAndLayered() -> None:
    listed = set(setup()["options"]["packages"].split())
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert found <= listed
    layers = setup()["importlinter:contract:layers"]["layers"]
    top = {".".join(name.split(".")[:2]) for name, _ in packageModules()}
    assert {name for name in top if not re.search(rf"{re.escape(name)}\b", layers)} == set()


def test_onlyTheCompositionRootImportsTheReactor() -> None:
    importing = [
        name
        for name, path in packageModules()
        if re.search(
            r"from twisted\.internet import .*\breactor\b|twisted\.internet\.reactor", path.read_text("utf-8")
        )
    ]
    assert importing == ["jindimail.service"]


def test_functionsAndModulesAreSmall() -> None:
    """A function has 50 lines at most, a module, a full machine even, 500."""
    long = set()
    for name, path in packageModules():
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= MODULE_LINES_MAX, name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= FUNCTION_LINES_MAX:
                    long.add((name, node.name))
    assert long <= LONG_FUNCTIONS, long - LONG_FUNCTIONS


def test_packagesHoldADocstringAndNothingElse() -> None:
    folders = [PACKAGE, ROOT / "tests"]
    for path in (each for folder in folders for each in folder.rglob("__init__.py")):
        body = ast.parse(path.read_text("utf-8")).body
        assert len(body) == 1, path
        assert docstringOf(path), path


def test_nothingNamesTheWorkplaceItWasMadeAt() -> None:
    for path in trackedFiles():
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__):
            found = WORKPLACE.search(path.read_text("utf-8", "replace"))
            assert found is None, f"{path}: {found and found[0]}"


def trackedFiles() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for path in (ROOT / line for line in done.stdout.splitlines()) if path.is_file()]


def test_linksInTheDocumentationLeadSomewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_everyDecisionHasANumberOfItsOwn() -> None:
    names = [path.name for path in (ROOT / "docs" / "adr").glob("*.md") if path.name != "README.md"]
    assert all(re.match(r"\d{4}-", name) for name in names), names
    assert len({name[:4] for name in names}) == len(names), sorted(names)


def test_documentsNamedInTheCodeAreThere() -> None:
    for name, path in packageModules():
        for document in re.findall(r"docs/[\w/.-]+\.md", path.read_text("utf-8")):
            assert (ROOT / document).exists(), f"{name}: {document}"


def test_everyMessageStandsInItsProtocol() -> None:
    page = (ROOT / "docs/protocols/replication.md").read_text()
    for module in ("messages", "nodemessages"):
        source = (ROOT / f"jindimail/replication/{module}.py").read_text()
        names = re.findall(r"^class (\w+)\(.*\btag=", source, re.MULTILINE)
        assert len(names) > 10
        assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []


def test_modulesNamedInTheArchitectureAreThere() -> None:
    text = ARCHITECTURE.read_text("utf-8").partition("## Every module")[0]
    for module in re.findall(
        r"`((?:smtp|pop3|imap4|admin|delivery|mailbox|directory|cluster|replication|store)/\w+)", text
    ):
        assert (PACKAGE / f"{module}.py").exists(), module


def test_noGroupIsPossessiveThatMayFailHalfWay() -> None:
    """Python before 3.11.5 does not go back to where such a group began (gh-106052); Debian 12 has 3.11.2."""
    allowed = {"jindimail.message.headers"}  # whose groups cannot: they end at a line's end, or take nothing
    found = [
        name
        for name, path in packageModules()
        if re.search(r"\)(?:[*+?]|\{[\d,]+\})\+", path.read_text("utf-8"))
    ]
    assert set(found) <= allowed
