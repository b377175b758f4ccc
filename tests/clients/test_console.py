"""The console in a real browser: what an administrator sees, without a script and with one, and with a keyboard alone."""

from __future__ import annotations

import json
import os
import re
import smtplib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.target import freePorts
from tests.clients.browser import Browser
from tests.support.node import DOMAIN, HOST, PASSWORD, NodeProcess

ADMINISTRATOR = f"ada@{DOMAIN}"
SHOTS = os.environ.get("SHOTS", "")  # a directory: pictures of the pages stay there


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with a console, an administrator, a user, and some mail."""
    running = NodeProcess(tmp_path_factory.mktemp("console"))
    running.ports |= dict(zip(("web", "webs"), freePorts(2), strict=True))
    running.found()
    running.start()
    try:
        running.waitUntil((running.data / "control").exists, "the control socket is there")
        ask(running, "domain add", domain=DOMAIN)
        ask(running, "user add", address=ADMINISTRATOR, password=PASSWORD, mayAdminister=True)
        ask(running, "user add", address=f"bob@{DOMAIN}", password=PASSWORD)
        with smtplib.SMTP(HOST, running.ports["smtp"], timeout=20) as smtp:
            for number in range(40):
                smtp.sendmail(
                    "x@example.net", [f"bob@{DOMAIN}"], f"Subject: {number}\r\n\r\n{'x' * 5000}\r\n"
                )
        yield running
    finally:
        assert running.stop() == 0, running.log()[-4000:]


@pytest.fixture
def browser() -> Iterator[Browser]:
    started = Browser()
    try:
        yield started
    finally:
        started.close()


def address(node: NodeProcess, path: str = "/") -> str:
    return f"http://{HOST}:{node.ports['web']}{path}"


def logIn(browser: Browser, node: NodeProcess, at: str = "") -> None:
    """With the keyboard alone."""
    browser.open(at or address(node))
    browser.until("document.activeElement.id === 'address'")
    browser.type(ADMINISTRATOR)
    browser.press("Tab", 9)
    browser.type(PASSWORD)
    browser.press("Enter", 13)
    browser.until("location.pathname === '/' && document.querySelectorAll('#buckets td').length === 256")


def keep(browser: Browser, tmp_path: Path, name: str) -> None:
    """A picture of the page, for people."""
    browser.picture(Path(SHOTS or tmp_path) / f"{name}.png")


def test_administratorSeesTheArray(node: NodeProcess, browser: Browser, tmp_path: Path) -> None:
    logIn(browser, node)
    browser.until("document.getElementById('live').className === 'on'")
    browser.until("document.querySelector('#rateFigure .value').textContent !== '0'")
    assert browser.value("document.querySelectorAll('#nodes tr').length") == 1
    assert browser.value("document.querySelector('#nodes th .text').textContent") == "node1"
    assert browser.value("document.querySelector('#bucketsFigure .value').textContent") == "256"
    assert browser.value(
        "[...document.querySelectorAll('#buckets td')].every(cell => cell.textContent === '1')"
    )
    assert browser.value("document.querySelectorAll('#alerts li').length") == 0
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.messages == []
    keep(browser, tmp_path, "light")
    browser.prefer("dark")
    keep(browser, tmp_path, "dark")
    browser.shape(420, 900)
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    keep(browser, tmp_path, "narrow")


def test_firstViewNeedsNoScript(node: NodeProcess, browser: Browser, tmp_path: Path) -> None:
    logIn(browser, node)
    browser.withoutScripts(True)
    browser.open(address(node))
    assert browser.value("document.querySelector('#nodes th .text').textContent") == "node1"
    assert browser.value("document.querySelectorAll('#rateChart polyline').length") == 1
    assert "not refreshed" in browser.value(
        "getComputedStyle(document.getElementById('live'), '::before').content"
    )
    keep(browser, tmp_path, "without-script")


def test_sessionOverTlsIsASecureCookieThatScriptsDoNotSee(node: NodeProcess, browser: Browser) -> None:
    logIn(browser, node, f"https://{HOST}:{node.ports['webs']}/")
    assert browser.value("document.cookie") == ""
    cookies = browser.ask("Network.getCookies", urls=[f"https://{HOST}:{node.ports['webs']}/"])["cookies"]
    assert [(each["name"], each["secure"], each["httpOnly"], each["sameSite"]) for each in cookies] == [
        ("__Host-jindimail-node1", True, True, "Strict")
    ]
    browser.value("document.querySelector('header form').requestSubmit()")
    browser.until("location.pathname === '/login'")
    browser.open(f"https://{HOST}:{node.ports['webs']}/")
    assert browser.value("location.pathname") == "/login"


def test_wrongPasswordIsToldInThePage(node: NodeProcess, browser: Browser, tmp_path: Path) -> None:
    browser.open(address(node, "/login"))
    browser.type(ADMINISTRATOR)
    browser.press("Tab", 9)
    browser.type("wrong" + PASSWORD)
    browser.press("Enter", 13)
    browser.until("document.querySelector('[role=alert]') !== null")
    assert browser.value("document.getElementById('address').value") == ADMINISTRATOR
    browser.until("document.activeElement.id === 'password'")  # a browser moves the focus when it draws
    keep(browser, tmp_path, "login")


# --- several nodes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NodeProcess]]:
    """Three nodes of one array."""
    running: list[NodeProcess] = []
    try:
        for number in range(1, 4):
            cluster, web = freePorts(2)
            directory = tmp_path_factory.mktemp(f"array{number}")
            each = NodeProcess(directory, name=f"node{number}", cluster=f"{HOST}:{cluster}")
            each.ports["web"] = web
            if running:
                each.join(ask(running[0], "cluster invite")["token"])
            else:
                each.found()
            running.append(each)
            each.start()
        ask(running[0], "domain add", domain=DOMAIN)
        ask(running[0], "user add", address=ADMINISTRATOR, password=PASSWORD, mayAdminister=True)
        running[0].waitUntil(lambda: isWhole(running), "all groups have all their replicas", seconds=120)
        yield running
    finally:
        for each in running:
            each.close()


def isWhole(nodes: list[NodeProcess]) -> bool:
    """Whether the array has nothing left to do."""
    return bool(ask(nodes[0], "cluster status")["isWhole"])


def ask(node: NodeProcess, verb: str, **arguments: Any) -> Any:
    """A verb, at the control socket."""
    with closing(node.control()) as client:
        return client.ask(verb, arguments)


def cells(browser: Browser, column: int) -> list[str]:
    """A column of the table of nodes."""
    found: list[str] = browser.value(
        f"[...document.querySelectorAll('#nodes tr')].map(row => row.children[{column}].querySelector('.text').textContent)"
    )
    return found


def test_anyNodeShowsAllAndWhichOfThemDoesNotAnswer(
    nodes: list[NodeProcess], browser: Browser, tmp_path: Path
) -> None:
    logIn(browser, nodes[2])
    browser.until("document.querySelector('#nodesFigure .value').textContent === '3 of 3'")
    assert cells(browser, 0) == ["node1", "node2", "node3"]
    assert cells(browser, 1) == ["serving"] * 3
    # A bucket whose leadership moves just now shows none for a moment.
    browser.until(
        "[...new Set([...document.querySelectorAll('#buckets td')].map(cell => cell.textContent))].sort().join() === '1,2,3'"
    )
    keep(browser, tmp_path, "array")
    nodes[1].kill()
    browser.until("document.querySelector('#alerts').textContent.includes('node2 does not answer')")
    browser.until("document.querySelector('#bucketsFigure .value').textContent === '256'")
    serving, dead, alsoServing = cells(browser, 1)
    assert (serving, alsoServing) == ("serving", "serving")
    assert re.fullmatch(r"not heard for \d+ s", dead)
    keep(browser, tmp_path, "array-node-down")
    nodes[1].start()
    browser.until("document.querySelectorAll('#alerts li').length === 0")
    assert browser.messages == []


def test_replicasAndCopiesOfAllNodesAreComparedFromAnyNode(nodes: list[NodeProcess]) -> None:
    nodes[0].waitUntil(lambda: isWhole(nodes), "all groups have all their replicas", seconds=120)
    done = nodes[1].jindictl(
        "--json", "check", "--cluster", "--config", str(nodes[1].configuration), mayFail=True
    )
    result = json.loads(done.stdout)
    assert done.returncode == 0, result
    assert (result["isSound"], result["groups"], result["warnings"]) == (True, 257, [])


def test_textCanBeReadByEveryone(node: NodeProcess, browser: Browser) -> None:
    """WCAG 2.2 §1.4.3: a contrast of 4.5 to 1, in light and dark."""
    logIn(browser, node)
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        assert browser.value(_POOR_CONTRAST) == [], scheme


def test_everythingHasAName(node: NodeProcess, browser: Browser) -> None:
    """WCAG 2.2 §4.1.2: fields, buttons, regions and pictures say what they are."""
    logIn(browser, node)
    tree = browser.ask("Accessibility.getFullAXTree")["nodes"]
    nameless = [
        each["role"]["value"]
        for each in tree
        if not each.get("ignored")
        and each["role"]["value"] in ("button", "textbox", "region", "img", "image", "meter", "columnheader")
        and not each.get("name", {}).get("value")
    ]
    assert nameless == []


_POOR_CONTRAST = """(() => {
  const parse = text => { const found = text.match(/[\\d.]+/g).map(Number); return found.length < 4 ? [...found, 1] : found; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const poor = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest('.skip') || !element.getClientRects().length) continue;
    const [one, two] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
    if ((one + 0.05) / (two + 0.05) < 4.5) poor.push(element.outerHTML.slice(0, 100));
  }
  return poor;
})()"""
