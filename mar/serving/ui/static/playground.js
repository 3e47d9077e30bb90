// The playground: a stream of events for each answer. Texts of models are set as text; the picture of the plan is HTML of ours.
"use strict";

const ask = document.getElementById("ask");
const stop = document.getElementById("stop");
const status = document.getElementById("status");
const csrf = JSON.parse(document.body.getAttribute("hx-headers"))["x-csrf"];
let underWay = [];

function post(path, fields, signal) {
  return fetch(path, { method: "POST", headers: { "x-csrf": csrf }, body: new URLSearchParams(fields), signal });
}

// Events of a stream, one after another: their names and what they hold.
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const name = lines.find((line) => line.startsWith("event: "));
      const data = lines.find((line) => line.startsWith("data: "));
      if (name && data) yield [name.slice(7), JSON.parse(data.slice(6))];
    }
  }
}

class Answer {
  constructor(name) {
    this.article = document.getElementById("answer").content.cloneNode(true).firstElementChild;
    this.part(".name").textContent = name;
    this.name = name;
    this.calling = new AbortController();
    this.text = this.part(".text").appendChild(document.createTextNode(""));
    this.reasoning = this.part(".reasoning").appendChild(document.createTextNode(""));
    document.getElementById("answers").append(this.article);
  }

  part(selector) { return this.article.querySelector(selector); }

  async run(fields) {
    this.began = performance.now();
    try {
      const response = await post("/ui/playground/ask", { ...fields, model: this.name }, this.calling.signal);
      if (!(response.headers.get("content-type") || "").startsWith("text/event-stream")) return this.failed(await refusal(response));
      for await (const [name, data] of events(response)) this.heard(name, data);
      if (!this.ended) this.failed("the answer broke off");
    } catch (error) {
      this.failed(error.name === "AbortError" ? "stopped" : "the gateway cannot be reached");
    }
  }

  heard(name, data) {
    if (name === "plan") this.part(".plan").innerHTML = data.html;
    if (name === "delta") {
      this.text.appendData(data.text);
      if (data.reasoning) { this.reasoning.appendData(data.reasoning); this.part(".thinking").hidden = false; }
    }
    if (name === "end") this.finished(data);
    if (name === "broken") this.failed(data.message);
  }

  mark(word, kind) {
    const mark = this.part(".state");
    mark.textContent = word;
    mark.className = `mark state ${kind}`;
    this.ended = true;
  }

  failed(why) {
    this.mark("no answer", "bad");
    const note = document.createElement("p");
    note.className = "note wrong";
    note.setAttribute("role", "alert");
    note.textContent = why;
    this.part(".text").before(note);
    if (!this.text.length) this.part(".text").hidden = true;
  }

  finished({ about, prompt_tokens: read, completion_tokens: written, finish }) {
    this.mark(finish === "length" ? "cut off" : "answered", finish === "length" ? "warn" : "good");
    const count = (value) => value == null ? "unknown" : value.toLocaleString("en");
    this.facts([
      ["USD", about.cost_usd == null ? "unknown" : String(+about.cost_usd.toPrecision(4))],
      ["seconds", ((performance.now() - this.began) / 1000).toFixed(2)],
      ["tokens, read + written", `${count(read)} + ${count(written)}`],
      ["models", about.models.join(", ")],
    ]);
    this.episode = about.episode;
    this.part(".rate").hidden = false;
    const link = document.createElement("a");
    link.href = `/ui/episodes/${encodeURIComponent(about.episode)}`;
    link.textContent = "why";
    this.part(".rate").append(" ", link);
    this.part(".rate").addEventListener("click", (event) => this.rate(event.target.closest("[data-thumb]")));
  }

  facts(pairs) {
    const list = this.part(".facts");
    for (const [name, value] of pairs) {
      const pair = document.createElement("div");
      pair.append(document.createElement("dt"), document.createElement("dd"));
      pair.firstChild.textContent = name;
      pair.lastChild.textContent = value;
      pair.lastChild.className = "small";
      list.append(pair);
    }
  }

  async rate(button) {
    if (!button) return;
    const response = await post(`/ui/episodes/${encodeURIComponent(this.episode)}/rate`, { thumb: button.dataset.thumb });
    this.part(".said").textContent = response.ok ? "thank you" : await refusal(response);
    for (const one of this.article.querySelectorAll("[data-thumb]")) one.setAttribute("aria-pressed", String(response.ok && one === button));
  }
}

async function refusal(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return response.status === 401 || response.redirected ? "log in again" : `the gateway answered with ${response.status}`;
  }
}

ask.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(ask);
  const names = form.getAll("model");
  const most = Number(ask.dataset.most);
  if (!names.length || names.length > most) { status.textContent = `choose 1 to ${most}`; return; }
  for (const answer of underWay) answer.calling.abort();
  document.getElementById("answers").replaceChildren();
  const fields = Object.fromEntries(["question", "system", "max_usd", "cost_rate"].map((name) => [name, form.get(name) || ""]));
  const mine = underWay = names.map((name) => new Answer(name));
  stop.disabled = false;
  status.textContent = `${mine.length} under way`;
  await Promise.all(mine.map((answer) => answer.run(fields)));
  if (mine === underWay) { stop.disabled = true; status.textContent = "done"; }
});
stop.addEventListener("click", () => { for (const answer of underWay) answer.calling.abort(); });
ask.elements.question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask.requestSubmit(); }
});
