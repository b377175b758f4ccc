// Refreshes the status page: asks /status.json for the view that the server would write, and draws it in place.
"use strict";

const main = document.getElementById("main");
const live = document.getElementById("live");
const waitMilliseconds = 1000 * Number(main.dataset.refreshSeconds);
const deadlineMilliseconds = 5000;

const byId = (id) => document.getElementById(id);

// Changes what differs and nothing else: a screen reader hears of changes, and the reader's place and selection stay.
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (className) element.className = className;
  return element;
}

// Draws a list's items into the children of an element, making and removing children as needed.
function each(parent, items, create, draw) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, place) => {
    if (place >= parent.children.length) parent.append(create(item, place));
    draw(parent.children[place], item, place);
  });
}

function drawFigure(figure) {
  const element = byId(figure.id + "Figure");
  element.className = "figure " + figure.tone;
  say(element.querySelector(".value"), figure.value);
  say(element.querySelector(".note"), figure.note);
}

function makeCell(cell, place) {
  const element = make(place ? "td" : "th");
  if (!place) element.scope = "row";
  element.append(make("span", "", "text"), make("span", "", "note"));
  return element;
}

function drawCell(element, cell) {
  element.className = cell.tone;
  say(element.querySelector(".text"), cell.text);
  say(element.querySelector(".note"), cell.note);
  let bar = element.querySelector("meter");
  if (cell.bar === null) {
    if (bar) bar.remove();
    return;
  }
  if (!bar) {
    bar = make("meter");
    bar.max = 1;
    bar.ariaLabel = "used";
    element.querySelector(".text").after(bar);
  }
  bar.value = cell.bar;
}

const colour = (cell) => (cell.colour === null ? "none" : "n" + cell.colour);

function drawBuckets(buckets) {
  byId("buckets").querySelectorAll("td").forEach((element, bucket) => {
    const cell = buckets[bucket];
    if (element.title === cell.title) return;
    say(element, cell.text);
    element.title = cell.title;
    element.className = colour(cell);
  });
}

function makeLegend() {
  const element = make("li");
  element.append(make("span", "", "swatch"), document.createTextNode(""));
  return element;
}

function drawLegend(element, cell) {
  element.firstChild.className = "swatch " + colour(cell);
  say(element.firstChild, cell.text);
  element.lastChild.data = " " + cell.title;
}

function drawChart(chart) {
  const element = byId(chart.id);
  say(element.querySelector(".top"), chart.top);
  element.querySelector("svg").setAttribute("aria-label", chart.words);
  element.querySelectorAll("polyline").forEach((line, place) => line.setAttribute("points", chart.lines[place].points));
}

function makeEvent() {
  const element = make("tr");
  const time = make("td");
  time.append(make("time"));
  element.append(time, make("td"), make("td"));
  return element;
}

function drawEvents(events) {
  const body = byId("events");
  if (!events.length) return;
  if (body.querySelector("td.quiet")) body.replaceChildren();
  each(body, events, makeEvent, (element, event) => {
    const time = element.querySelector("time");
    time.dateTime = event.iso;
    say(time, event.time);
    say(element.children[1], event.node);
    say(element.children[2], event.text);
  });
}

function draw(view) {
  say(byId("title"), view.title);
  say(byId("time"), view.time);
  each(byId("alerts"), view.alerts, () => make("li", "", "alert"), say);
  view.figures.forEach(drawFigure);
  each(byId("nodes"), view.nodes, () => make("tr"), (row, cells) => each(row, cells, makeCell, drawCell));
  each(byId("legend"), view.legend, makeLegend, drawLegend);
  drawBuckets(view.buckets);
  view.charts.forEach(drawChart);
  drawEvents(view.events);
}

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/status.json", { signal: AbortSignal.timeout(deadlineMilliseconds), redirect: "error" });
      if (answer.status === 401) {
        location.assign("/login");
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      draw((await answer.json()).view);
      live.className = "on";
    } catch {
      live.className = "lost";
    }
  }
  setTimeout(refresh, waitMilliseconds);
}

live.className = "on";
setTimeout(refresh, waitMilliseconds);
document.addEventListener("visibilitychange", () => { if (!document.hidden) live.className = "on"; });
