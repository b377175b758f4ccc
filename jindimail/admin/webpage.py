"""The console's pages as HTML: the login, and the first view of the status page, which needs no script. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from jindimail.admin.webhistory import SLOTS_MAX
from jindimail.admin.webview import CHART_HEIGHT, MINUTES, NODE_COLUMNS, BucketCell, Cell, Chart, Figure, View

ROW = 16
REFRESH_SECONDS = 2


def loginPage(nodeName: str, *, problem: str = "", address: str = "", isOpen: bool = True) -> bytes:
    """The form that lets an administrator in; where no password may cross the connection, only what to do."""
    told = f'<p class="alert" role="alert">{escape(problem)}</p>' if problem else ""
    form = f"""
<form method="post" action="/login">
<p><label for="address">Address</label>
<input id="address" name="address" type="text" inputmode="email" autocomplete="username" autocapitalize="none" spellcheck="false"
 required maxlength="254" value="{escape(address)}"{"" if address else " autofocus"}></p>
<p><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="1024"{" autofocus" if address else ""}></p>
<p><button type="submit">Log in</button></p>
</form>"""
    return _page(
        f"Log in to {escape(nodeName)}",
        f"""<main class="login">
<h1>jindimail <span class="quiet">{escape(nodeName)}</span></h1>
{told}{form if isOpen else ""}
<p class="quiet">For administrators of the array, with their mail password. <code>jindictl user set ADDRESS --may-administer</code> makes one.</p>
</main>""",
    )


def statusPage(view: View, address: str) -> bytes:
    """The status of the array, for whoever is logged in as `address`."""
    return _page(
        f"jindimail: {escape(view.title)}",
        f"""<a class="skip" href="#main">Skip to the status</a>
<header>
<h1>jindimail <span class="quiet" id="title">{escape(view.title)}</span></h1>
<p class="quiet">as seen by {escape(view.asked)} at <time id="time">{escape(view.time)}</time> UTC <span id="live"></span></p>
<form method="post" action="/logout"><span class="quiet">{escape(address)}</span> <button type="submit">Log out</button></form>
</header>
<main id="main" data-refresh-seconds="{REFRESH_SECONDS}">
<ul id="alerts" class="alerts" role="status" aria-live="polite">{_alerts(view.alerts)}</ul>
<section aria-label="In short"><dl class="figures">{"".join(map(_figure, view.figures))}</dl></section>
<section aria-labelledby="nodesTitle"><h2 id="nodesTitle">Nodes</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="nodesTitle">
<table class="nodes"><thead><tr>{"".join(f'<th scope="col">{name}</th>' for name in NODE_COLUMNS)}</tr></thead>
<tbody id="nodes">{"".join(map(_row, view.nodes))}</tbody></table></div></section>
<section aria-labelledby="chartsTitle"><h2 id="chartsTitle">The last {MINUTES} minutes</h2>
<div class="charts">{"".join(map(_chart, view.charts))}</div></section>
<div class="halves">
<section aria-labelledby="mapTitle"><h2 id="mapTitle">Buckets by leader</h2>
<ul id="legend" class="legend">{"".join(map(_legend, view.legend))}</ul>
<div class="scroll" tabindex="0" role="region" aria-labelledby="mapTitle"><table class="map">
<thead><tr><td></td>{"".join(f'<th scope="col">{column:x}</th>' for column in range(ROW))}</tr></thead>
<tbody id="buckets">{"".join(_mapRows(view.buckets))}</tbody></table></div></section>
<section aria-labelledby="eventsTitle"><h2 id="eventsTitle">Events</h2>
<div class="scroll events" tabindex="0" role="region" aria-labelledby="eventsTitle"><table>
<thead><tr><th scope="col">Time (UTC)</th><th scope="col">Seen by</th><th scope="col">What</th></tr></thead>
<tbody id="events">{_events(view)}</tbody></table></div></section>
</div>
</main>""",
        script=True,
    )


def _page(title: str, body: str, *, script: bool = False) -> bytes:
    tag = '<script src="/static/status.js" defer></script>' if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/status.css">
{tag}
</head>
<body>
{body}
</body>
</html>
""".encode()


def _alerts(alerts: Iterable[str]) -> str:
    return "".join(f'<li class="alert">{escape(alert)}</li>' for alert in alerts)


def _figure(figure: Figure) -> str:
    return (
        f'<div id="{figure.id}Figure" class="figure {figure.tone}"><dt>{escape(figure.label)}</dt>'
        f'<dd class="value">{escape(figure.value)}</dd><dd class="note">{escape(figure.note)}</dd></div>'
    )


def _row(cells: tuple[Cell, ...]) -> str:
    return f"<tr>{''.join(_cell(cell, isHead=not place) for place, cell in enumerate(cells))}</tr>"


def _cell(cell: Cell, *, isHead: bool) -> str:
    tag = 'th scope="row"' if isHead else "td"
    bar = (
        ""
        if cell.bar is None
        else f'<meter min="0" max="1" value="{cell.bar:.3f}" aria-label="used"></meter>'
    )
    return (
        f'<{tag} class="{cell.tone}"><span class="text">{escape(cell.text)}</span>{bar}'
        f'<span class="note">{escape(cell.note)}</span></{tag.split()[0]}>'
    )


def _legend(cell: BucketCell) -> str:
    return f'<li><span class="swatch {_colour(cell)}">{escape(cell.text)}</span> {escape(cell.title)}</li>'


def _mapRows(buckets: tuple[BucketCell, ...]) -> Iterable[str]:
    for start in range(0, len(buckets), ROW):
        cells = "".join(
            f'<td class="{_colour(cell)}" title="{escape(cell.title)}">{escape(cell.text)}</td>'
            for cell in buckets[start : start + ROW]
        )
        yield f'<tr><th scope="row">{start:02x}</th>{cells}</tr>'


def _colour(cell: BucketCell) -> str:
    return "none" if cell.colour is None else f"n{cell.colour}"


def _chart(chart: Chart) -> str:
    lines = "".join(
        f'<polyline class="line{place}" points="{line.points}"/>' for place, line in enumerate(chart.lines)
    )
    legend = "".join(
        f'<li class="line{place}">{escape(line.label)}</li>' for place, line in enumerate(chart.lines)
    )
    return (
        f'<figure id="{chart.id}"><figcaption>{escape(chart.title)}</figcaption>'
        f'<span class="top">{escape(chart.top)}</span>'
        f'<svg viewBox="0 0 {SLOTS_MAX - 1} {CHART_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(chart.words)}">{lines}</svg>'
        f'<ul class="lines" aria-hidden="true">{legend}</ul></figure>'
    )


def _events(view: View) -> str:
    if not view.events:
        return '<tr><td colspan="3" class="quiet">Nothing has happened since the nodes started.</td></tr>'
    return "".join(
        f'<tr><td><time datetime="{event.iso}">{escape(event.time)}</time></td><td>{escape(event.node)}</td>'
        f"<td>{escape(event.text)}</td></tr>"
        for event in view.events
    )
