"use strict";
// Asks the JSON API every two seconds while somebody looks, and changes on the page only what is another: nothing flashes,
// and what has the focus keeps it. All text goes in as text.

const EVERY = 2000, KEPT = 150, PATIENCE = 5000;
const $ = (id) => document.getElementById(id);
const token = { get: () => sessionStorage.getItem("pgweir-token"), set: (t) => sessionStorage.setItem("pgweir-token", t) };

// ---- elements ----

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
function dress(element, className) {
  if (element.className !== className) element.className = className;
}
/// Brings the children of a list into line with items: each keeps its element as long as its key is there.
function each(parent, items, key, create, update) {
  const known = (parent.known ??= new Map()), wanted = new Set();
  let place = parent.firstElementChild;
  items.forEach((item, index) => {
    const name = key(item, index);
    wanted.add(name);
    let element = known.get(name);
    if (!element) known.set(name, element = create(item));
    update(element, item, index);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  });
  for (const [name, element] of known) {
    if (!wanted.has(name)) { element.remove(); known.delete(name); }
  }
}

// ---- numbers ----

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (n) => whole.format(n);
const rate = (n) => n >= 100 || n === 0 ? count(n) : n.toFixed(1);
function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1024 && unit < 4) { n /= 1024; unit++; }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}
function span(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${seconds < 0.01 ? (seconds * 1e3).toFixed(1) : Math.round(seconds * 1e3)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  return `${minutes} min ${Math.floor(seconds % 60)} s`;
}
const when = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19);
const grown = (now, before) => Math.max(0, now - before);
const bucketsGrown = (now, before) => now.map((n, i) => grown(n, before?.[i] ?? 0));
/// The time that this part of all stays below; null without any. Straight between the bounds of a bucket.
function quantile(part, buckets, bounds) {
  const all = buckets.reduce((a, b) => a + b, 0);
  if (!all) return null;
  let below = 0;
  for (let i = 0; i < buckets.length; i++) {
    if (below + buckets[i] >= part * all) {
      const from = i ? bounds[i - 1] : 0, to = bounds[i] ?? from;
      return from + (to - from) * (part * all - below) / buckets[i];
    }
    below += buckets[i];
  }
  return null;
}
const time = (seconds) => seconds === null || seconds === undefined ? "–" : span(seconds);

// ---- charts ----

function chart(id, names, { shown, drawn = names.length, log = false, area = false, about }) {
  const figure = $(id), peak = make("span", "peak"), now = make("div", "now");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const shape = (tag, className) => {
    const element = document.createElementNS(svg.namespaceURI, tag);
    if (className) element.setAttribute("class", className);
    svg.append(element);
    return element;
  };
  const ground = area ? shape("polygon") : null;
  const lines = names.slice(0, drawn).map((_, i) => shape("polyline", `c${i}`));
  const values = names.map((name, i) => {
    const box = make("span"), value = make("b", "", "–");
    box.append(value);
    if (drawn > 1) box.append(make("i", `c${i}`));
    box.append(name);
    now.append(box);
    return value;
  });
  figure.append(peak, now, svg);
  return (history, current) => {
    const all = history.flat().filter((v) => v !== null), most = Math.max(...all, 0);
    const least = log ? Math.min(...all.filter((v) => v > 0), most) / 2 : 0;
    const height = (v) => log
      ? 4 + 90 * Math.log(Math.max(v, least) / least) / Math.log((most || 1) / least || 1)
      : 4 + 90 * v / (most || 1);
    // A minute at least; it grows until it shows all that is kept.
    const right = Math.min(KEPT - 1, Math.max(30, history.length - 1));
    svg.setAttribute("viewBox", `0 0 ${right} 100`);
    const x = (i) => right - history.length + 1 + i;
    lines.forEach((_, line) => {
      const points = [];
      history.forEach((values, i) => {
        if (values[line] !== null) points.push(`${x(i)},${(100 - height(values[line])).toFixed(1)}`);
      });
      lines[line].setAttribute("points", points.join(" "));
      if (ground && line === 0 && points.length) {
        ground.setAttribute("points", `${x(0)},100 ${points.join(" ")} ${right},100`);
      }
    });
    names.forEach((_, i) => say(values[i], current[i] === null ? "–" : shown[i](current[i])));
    say(peak, most ? `peak ${shown[0](most)}` : "");
    svg.setAttribute("aria-label", `${about}: now ${names.map((n, i) => `${values[i].textContent} ${n}`).join(", ")}; peak ${shown[0](most)}`);
  };
}
const charts = {
  rate: chart("chart-rate", ["queries/s", "transactions/s"], { shown: [rate, rate], area: true, about: "Throughput" }),
  latency: chart("chart-latency", ["p50", "p95", "p99"], { shown: [span, span, span], log: true, about: "Query time" }),
  wait: chart("chart-wait", ["clients", "p95 of waits"], { shown: [count, span], drawn: 1, area: true, about: "Clients that wait for a server" }),
  bytes: chart("chart-bytes", ["in/s", "out/s"], { shown: [bytes, bytes], about: "Bytes from and to clients" }),
};

// ---- tables ----

/// Columns: [title, class, how it is shown (text, or a function of the cell), what it is sorted by].
function table(id, columns, sorted) {
  const element = $(id), body = make("tbody"), head = make("tr");
  let { column, up } = sorted, rows = [];
  const heads = columns.map(([title, className], index) => {
    const th = make("th", className), button = make("button", "", title);
    th.scope = "col";
    button.type = "button";
    button.addEventListener("click", () => {
      up = column === index ? !up : !/num/.test(className);
      column = index;
      show(rows);
    });
    th.append(button);
    head.append(th);
    return th;
  });
  const thead = make("thead");
  thead.append(head);
  element.append(thead, body);
  function show(all) {
    rows = all;
    heads.forEach((th, index) => index === column
      ? th.setAttribute("aria-sort", up ? "ascending" : "descending") : th.removeAttribute("aria-sort"));
    const by = columns[column][3];
    const order = [...rows].sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      const less = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return (up ? less : -less) || String(a.key).localeCompare(String(b.key), "en", { numeric: true });
    });
    each(body, order, (row) => row.key,
      () => { const tr = make("tr"); columns.forEach(([, className]) => tr.append(make("td", className))); return tr; },
      (tr, row) => columns.forEach(([, className, text, , dressed], i) => {
        const td = tr.children[i], value = text(row, td);
        if (typeof value === "string") say(td, value);
        if (dressed) dress(td, `${className} ${dressed(row)}`);
      }));
  }
  return show;
}

const marks = { primary: "◆ ", replica: "◇ ", deposed: "▲ ", unknown: "" };
const stateOf = (h) => h.state === "down" ? "down" : h.role === "replica" && !h.fit_for_reads ? "up, no reads" : h.state;
const lagOf = (h) => h.role === "replica"
  ? `${time(h.lag_seconds)}${h.lag_bytes === null ? "" : ` · ${bytes(h.lag_bytes)}`}` : "";
const showHosts = table("hosts", [
  ["Database", "", (h) => h.database, (h) => h.database],
  ["Host", "mono", (h) => h.address, (h) => h.address],
  ["Role", "role", (h) => marks[h.role] + h.role, (h) => h.role, (h) => h.role === "deposed" ? "bad" : h.role],
  ["State", "", (h, td) => { td.title = h.role === "replica" ? h.no_reads ?? "" : ""; return stateOf(h); }, stateOf, (h) => stateOf(h) === "up" ? "" : h.state === "down" ? "bad" : "warn"],
  ["Timeline", "num", (h) => h.timeline === null ? "–" : String(h.timeline), (h) => h.timeline ?? 0],
  ["Lag", "num", lagOf, (h) => h.lag_seconds ?? -1],
  ["Servers in use", "num", (h) => h.share ? `${h.share.servers_active} of ${h.share.servers_active + h.share.servers_idle}` : "–", (h) => h.share?.servers_active ?? 0],
  ["Transactions/s", "num", (h) => rate(h.tps), (h) => h.tps],
  ["WAL position", "mono wide", (h) => h.lsn ?? "–", (h) => h.lsn ?? ""],
  ["Unchanged for", "num wide", (h) => h.since ? span(Math.max(0, h.now - h.since)) : "–", (h) => h.now - h.since],
], { column: 0, up: true });

const sizeOf = (p) => p.hosts.some((h) => h.size === null) ? null : p.hosts.reduce((sum, h) => sum + h.size, 0);
function meter(p, td) {
  const used = p.servers_active + p.servers_tested, idle = p.servers_idle + p.servers_used, size = p.size;
  if (!td.parts) {
    const bar = make("span", "meter");
    td.parts = [bar, make("span", "used"), make("span", "idle"), make("span")];
    bar.setAttribute("aria-hidden", "true");
    bar.append(td.parts[1], td.parts[2]);
    td.append(bar, td.parts[3]);
  }
  const [bar, usedPart, idlePart, text] = td.parts, all = Math.max(size ?? used + idle, used + idle, 1);
  const share = (n) => `${(100 * n / all).toFixed(1)}%`;
  if (usedPart.style.width !== share(used)) usedPart.style.width = share(used);
  if (idlePart.style.width !== share(idle)) idlePart.style.width = share(idle);
  dress(bar, p.clients_waiting && used >= all ? "meter full" : "meter");
  say(text, `${used} used, ${idle} idle${size === null ? "" : `, of ${size}`}`);
}
const showPools = table("pools", [
  ["Database", "", (p) => p.database + (p.paused ? " (paused)" : ""), (p) => p.database],
  ["User", "", (p) => p.user, (p) => p.user],
  ["Mode", "wide", (p) => p.mode, (p) => p.mode],
  ["Clients", "num", (p) => count(p.clients_active), (p) => p.clients_active],
  ["Waiting", "num", (p) => count(p.clients_waiting), (p) => p.clients_waiting, (p) => p.clients_waiting ? "warn" : ""],
  ["Longest wait", "num wide", (p) => p.max_wait_seconds ? span(p.max_wait_seconds) : "–", (p) => p.max_wait_seconds],
  ["Servers", "", meter, (p) => p.servers_active],
  ["Queries/s", "num", (p) => rate(p.qps), (p) => p.qps],
  ["p50", "num", (p) => time(p.p50), (p) => p.p50 ?? -1],
  ["p99", "num", (p) => time(p.p99), (p) => p.p99 ?? -1],
], { column: 0, up: true });

const showClients = table("clients-table", [
  ["Id", "num", (c) => String(c.id), (c) => c.id],
  ["Database", "", (c) => c.database ?? "–", (c) => c.database ?? ""],
  ["User", "", (c) => c.user ?? "–", (c) => c.user ?? ""],
  ["State", "", (c) => c.state, (c) => c.state, (c) => c.state === "waiting" ? "warn" : ""],
  ["For", "num", (c) => c.wait_seconds ? span(c.wait_seconds) : "–", (c) => c.wait_seconds],
  ["From", "mono", (c) => c.address ?? "–", (c) => c.address ?? ""],
  ["Application", "", (c) => c.application_name || "–", (c) => c.application_name],
  ["Server", "num wide", (c) => c.server_id === null ? "–" : String(c.server_id), (c) => c.server_id ?? 0],
  ["TLS", "wide", (c) => c.tls || "–", (c) => c.tls],
  ["Connected", "wide", (c) => when(c.connected_at), (c) => c.connected_at],
], { column: 0, up: true });

// ---- what is shown ----

const history = []; // { at, totals, hosts }: the last five minutes
const pastPools = new Map(); // key -> [{ at, queries, buckets }]: the last ten seconds
const RECENT = 6;

function showStatus(status) {
  const sample = { at: status.now, totals: status.totals, hosts: new Map(status.hosts.map((h) => [h.address, h])) };
  // Another process, or another clock: what was before says nothing.
  if (history.length && (status.uptime_seconds < showStatus.uptime || status.now < history.at(-1).at)) history.length = 0;
  showStatus.uptime = status.uptime_seconds;
  history.push(sample);
  if (history.length > KEPT + 1) history.shift();

  say($("state"), status.state);
  dress($("state"), status.ready ? "" : "bad");
  say($("clients"), `${count(status.clients)} of ${count(status.clients_limit)}`);
  say($("uptime"), span(status.uptime_seconds));
  say($("version"), status.version);
  const bad = status.warnings.filter((w) => w.severity === "error").length;
  document.title = `${bad ? `(${bad}) ` : ""}pgweir ${location.host}`;
  each($("warnings"), status.warnings, (w) => `${w.severity} ${w.subject} ${w.advice}`,
    () => {
      const li = make("li"), text = make("div", "text");
      text.append(make("div", "what"), make("div", "advice"));
      li.append(make("span", "severity"), make("span", "subject mono"), text);
      return li;
    },
    (li, w) => {
      dress(li, w.severity);
      say(li.children[0], w.severity === "error" ? "▲ Error" : "△ Warning");
      say(li.children[1], w.subject);
      say(li.children[2].children[0], w.what);
      say(li.children[2].children[1], w.advice);
    });
  $("calm").hidden = status.warnings.length > 0;
  showTraffic(status);
}

/// What happened between two samples: rates, and quantiles of query times.
function between(before, after, bounds) {
  const seconds = Math.max(0.001, after.at - before.at), a = before.totals, b = after.totals;
  const each = (field) => grown(b[field], a[field]) / seconds;
  const buckets = bucketsGrown(b.query_buckets, a.query_buckets);
  const latency = [0.5, 0.95, 0.99].map((part) => quantile(part, buckets, bounds));
  const waits = quantile(0.95, bucketsGrown(b.wait_buckets, a.wait_buckets), bounds);
  return { rate: [each("queries"), each("transactions")], latency, waits, bytes: [each("received_bytes"), each("sent_bytes")] };
}

function showTraffic(status) {
  const steps = history.slice(1).map((sample, i) => between(history[i], sample, status.bounds_seconds));
  const recent = history.length > 1
    ? between(history[Math.max(0, history.length - RECENT)], history.at(-1), status.bounds_seconds) : null;
  for (const name of ["rate", "latency", "bytes"]) {
    charts[name](steps.map((step) => step[name]), recent ? recent[name] : [null, null, null]);
  }
  charts.wait(history.slice(-KEPT).map((sample) => [sample.totals.clients_waiting]),
    [status.totals.clients_waiting, recent ? recent.waits : null]);
}

function showWent(topology) {
  const [first, last] = [history[0], history.at(-1)];
  const roles = new Map(topology.databases.flatMap((d) => d.hosts).map((h) => [h.address, h.state === "down" ? "down" : h.role]));
  let hosts = [...last.hosts.values()].map((h) => ({
    address: h.address, role: roles.get(h.address) ?? "",
    transactions: grown(h.transactions, first.hosts.get(h.address)?.transactions ?? 0),
  })).filter((h) => h.transactions > 0);
  const all = hosts.reduce((sum, h) => sum + h.transactions, 0);
  const order = (h) => h.role === "primary" ? 0 : 1;
  hosts.sort((a, b) => order(a) - order(b) || a.address.localeCompare(b.address, "en", { numeric: true }));
  hosts = hosts.slice(0, 20);
  // The colour of the primary is its own, as in the table of hosts.
  const led = hosts[0]?.role === "primary";
  const colour = (i) => led || !roles.size ? `c${i === 0 ? 0 : (i - 1) % 4 + 1}` : `c${i % 4 + 1}`;
  const replicas = hosts.filter((h) => h.role === "replica").reduce((sum, h) => sum + h.transactions, 0);
  say($("went-share"), `the last five minutes${all && roles.size ? `: ${(100 * replicas / all).toFixed(1)} % on replicas` : ""}`);
  each($("went-bar"), hosts, (h) => h.address, () => make("span"), (part, h, i) => {
    dress(part, colour(i));
    part.style.flexGrow = String(h.transactions);
  });
  each($("went"), hosts, (h) => h.address,
    () => { const li = make("li"); li.append(make("i"), make("span", "mono"), make("b"), make("small")); return li; },
    (li, h, i) => {
      dress(li.children[0], colour(i));
      say(li.children[1], h.address);
      say(li.children[2], `${(100 * h.transactions / all).toFixed(1)} %`);
      say(li.children[3], `${h.role ? `${h.role}, ` : ""}${count(h.transactions)}`);
    });
  $("went-none").hidden = hosts.length > 0;
}

function showTopology(topology, now) {
  const last = history.at(-1), before = history[Math.max(0, history.length - RECENT)];
  const seconds = Math.max(0.001, last.at - before.at);
  const rows = topology.databases.flatMap((d) => d.hosts.map((h) => {
    const share = last.hosts.get(h.address), was = before.hosts.get(h.address);
    const tps = share && was ? grown(share.transactions, was.transactions) / seconds : 0;
    return { ...h, database: d.database, key: `${d.database} ${h.address}`, share, tps, now };
  }));
  showHosts(rows);
  $("hosts-none").hidden = rows.length > 0;
  showWent(topology);
}

function showAllPools(answer, now) {
  const rows = answer.pools.map((pool) => {
    const key = `${pool.database} ${pool.user}`;
    const queries = pool.hosts.reduce((sum, h) => sum + h.queries, 0), buckets = [];
    pool.hosts.forEach((h) => h.query_buckets.forEach((n, i) => { buckets[i] = (buckets[i] ?? 0) + n; }));
    const past = pastPools.get(key) ?? [];
    past.push({ at: now, queries, buckets });
    if (past.length > RECENT) past.shift();
    pastPools.set(key, past);
    const seconds = Math.max(0.001, now - past[0].at), recent = bucketsGrown(buckets, past[0].buckets);
    return {
      ...pool, key, size: sizeOf(pool), qps: past.length > 1 ? grown(queries, past[0].queries) / seconds : 0,
      p50: quantile(0.5, recent, answer.bounds_seconds), p99: quantile(0.99, recent, answer.bounds_seconds),
    };
  });
  const keys = new Set(rows.map((row) => row.key));
  for (const key of pastPools.keys()) if (!keys.has(key)) pastPools.delete(key);
  showPools(rows);
  $("pools-none").hidden = rows.length > 0;
  say($("pools-more"), rows.length < answer.total ? `the first ${rows.length} of ${count(answer.total)}` : "");
}

function showEvents(answer) {
  each($("events"), answer.events, (e, i) => `${e.time} ${e.database} ${e.host} ${e.event} ${answer.total - i}`,
    (e) => {
      const li = make("li"), at = make("time", "", when(e.time));
      at.dateTime = new Date(e.time * 1000).toISOString();
      const subject = e.host ? `${e.host} (${e.database})` : e.database;
      const event = e.timeline === null ? e.event : `${e.event}, timeline ${e.timeline}`;
      li.append(at, make("span", "mono", subject), make("span", "event", event), make("span", "detail", e.detail));
      return li;
    }, () => {});
  $("events-none").hidden = answer.total > 0;
  say($("events-more"), answer.events.length < answer.total ? `times in UTC; the last ${answer.events.length} of ${count(answer.total)}` : "times in UTC");
}

// ---- asking ----

let timer = null, asking = false, failedSince = null;

function live(words, className) {
  say($("live"), words);
  dress($("live"), className);
}

async function get(path) {
  const secret = token.get(), headers = secret ? { Authorization: `Bearer ${secret}` } : {};
  const response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (!response.ok) throw Object.assign(new Error(`${path}: ${response.status}`), { status: response.status });
  return response.json();
}

async function look() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  try {
    const status = await get("/api/v1/status");
    const [topology, pools, events] = await Promise.all(
      [get("/api/v1/topology?limit=100"), get("/api/v1/pools?limit=200"), get("/api/v1/events?limit=30")]);
    $("ask").hidden = true;
    $("main").hidden = false;
    showStatus(status);
    showTopology(topology, status.now);
    showAllPools(pools, status.now);
    showEvents(events);
    if ($("clients-box").open) await lookAtClients();
    failedSince = null;
    live("Live", "on");
    document.documentElement.dataset.looks = String(Number(document.documentElement.dataset.looks ?? 0) + 1);
  } catch (error) {
    if (error.status === 401) return askForToken();
    failedSince ??= Date.now();
    live(`No answer for ${span((Date.now() - failedSince + EVERY) / 1000)}; what is below is old`, "off");
  } finally {
    asking = false;
  }
  timer = setTimeout(look, EVERY);
}

async function lookAtClients() {
  const which = $("which").value, limit = 200;
  const answer = await get(`/api/v1/clients?limit=${limit}${which ? `&state=${which}` : ""}`);
  showClients(answer.clients.map((client) => ({ ...client, key: client.id })));
  say($("clients-more"), answer.next === null ? count(answer.total) : `the first ${limit} of ${count(answer.total)}`);
}

function askForToken() {
  say($("refused"), token.get() ? "That is not the token." : "");
  sessionStorage.removeItem("pgweir-token");
  $("main").hidden = true;
  $("ask").hidden = false;
  live("Waiting for the token", "");
  $("token").focus();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set($("token").value.trim());
  $("token").value = "";
  look();
});
$("clients-box").addEventListener("toggle", () => { if ($("clients-box").open) look(); });
$("which").addEventListener("change", look);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { clearTimeout(timer); live("Paused while nobody looks", ""); } else { look(); }
});
say($("where"), location.host);
document.title = `pgweir ${location.host}`;
look();
