"use strict";
// Walking through graphs of states. What a state is, which steps it has, where they lead and why somebody waits: all of that is
// looked up in what the model has exported. Nothing here knows the protocol.
(() => {
  const byId = (id) => document.getElementById(id);
  const menu = JSON.parse(byId("menu").textContent);
  const WANTED = "shipped/sc/2/2";
  const START = menu.combinations[WANTED].left_out ? Object.keys(menu.combinations).find((id) => !menu.combinations[id].left_out) : WANTED;
  const LONGEST_PATH = 150; // steps in an address; older ones are dropped, and the path then starts at a state's number
  const KEPT_PATH = 100;
  const ADDRESS_EVERY_MS = 150;
  const BROKEN_LINK = "The link names steps that are not possible: this is as far as it leads.";
  const ACTOR_KEYS = ["w", "a", "b"];
  const graphs = new Map();
  let graph = null; // the one that is shown
  let at = { id: START, start: 0, path: [], cursor: 0 };
  let loading = 0;
  let writing = 0;
  let scrolling = 0;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") made.textContent = value;
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  // Graphs -------------------------------------------------------------------------------------------------------------------

  async function unpacked(id) {
    if (graphs.has(id)) return graphs.get(id);
    const packed = Uint8Array.from(atob(byId(`graph ${id}`).textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const found = await new Response(stream).json();
    found.first = [0];
    for (const count of found.counts) found.first.push(found.first[found.first.length - 1] + count);
    graphs.set(id, found);
    return found;
  }

  function stateOf(number) {
    const blocks = graph.columns.length - 3 * graph.names.length;
    const row = graph.columns.map((column) => column[number]);
    const actors = graph.names.length;
    return {
      blocks: row.slice(0, blocks).map((part) => graph.blocks[part]),
      actors: row.slice(blocks, blocks + actors).map((part) => graph.actors[part]),
      waits: row.slice(blocks + actors, blocks + 2 * actors).map((part) => graph.waits[part]),
      memories: row.slice(blocks + 2 * actors).map((part) => graph.memories[part]),
      steps: stepsOf(number),
    };
  }

  function stepsOf(number) {
    const found = [];
    for (let place = 0; place < graph.counts[number]; place++) {
      const index = graph.first[number] + place;
      const [actor, row, what, sentence, kind, note, broken] = graph.steps[graph.what[index]];
      const distance = graph.to[index];
      found.push({ place, actor, row, what, sentence, kind, note, broken, to: distance === null ? null : number + distance });
    }
    return found;
  }

  // The numbers of the states on the path; fewer, where it names a step that is not there.
  function statesOn(start, path) {
    const numbers = [start];
    for (const place of path) {
      const step = stepsOf(numbers[numbers.length - 1])[place];
      if (!step || step.to === null) break;
      numbers.push(step.to);
    }
    return numbers;
  }

  // Addresses: #protocol/memory/readers/blocks/start/path/cursor; a character of the path is the place of a step among those that
  // are possible there. -----------------------------------------------------------------------------------------------------

  function address() {
    const path = at.path.map((place) => place.toString(36)).join("");
    const cursor = at.cursor === at.path.length ? "" : `/${at.cursor}`;
    return path || at.start ? `#${at.id}/${at.start}/${path}${cursor}` : `#${at.id}`;
  }

  // Not at every step: browsers refuse to change an address hundreds of times in a row, as when a key is held down.
  function writeAddress() {
    clearTimeout(writing);
    writing = 0;
    if (location.hash !== address()) history.replaceState(null, "", address());
  }

  function parsed(fragment) {
    const parts = fragment.replace(/^#/, "").split("/");
    const id = parts.slice(0, 4).join("/");
    const about = menu.combinations[id];
    if (!about || about.left_out) {
      const why = about ? `a choice that is not here (${about.left_out})` : "nothing on this page";
      const notice = fragment ? `The link leads to ${why}. The page shows its first choice instead.` : "";
      return { id: START, start: 0, path: [], cursor: 0, notice };
    }
    const [start = "", path = "", cursor = ""] = parts.slice(4);
    const known = /^\d*$/.test(start) && Number(start) < about.states;
    const places = known && /^[0-9a-z]*$/.test(path) ? [...path].map((character) => parseInt(character, 36)) : [];
    return { id, start: known ? Number(start) : 0, path: places, cursor: /^\d+$/.test(cursor) ? Number(cursor) : places.length,
      notice: known && places.length === path.length ? "" : BROKEN_LINK };
  }

  // What is chosen, not what is stepped to, gets an entry of its own in the browser's history (``keeps``): "back" undoes it.
  async function open({ notice = "", ...wanted }, say, keeps = false) {
    const mine = ++loading;
    const found = await unpacked(wanted.id);
    if (mine !== loading) return;
    if (keeps) writeAddress();
    graph = found;
    const length = statesOn(wanted.start, wanted.path).length - 1;
    const told = notice || (length < wanted.path.length ? BROKEN_LINK : "");
    at = { ...wanted, path: wanted.path.slice(0, length), cursor: Math.min(wanted.cursor, length) };
    if (keeps && location.hash !== address()) history.pushState(null, "", address());
    byId("notice").textContent = told;
    show(say);
    if (told) byId("live").textContent = `${told} ${byId("live").textContent}`;
  }

  // Moves --------------------------------------------------------------------------------------------------------------------

  function take(place) {
    const number = statesOn(at.start, at.path.slice(0, at.cursor))[at.cursor];
    const step = stepsOf(number)[place];
    if (!step || step.to === null) return;
    byId("notice").textContent = "";
    if (at.path[at.cursor] !== place) at.path = [...at.path.slice(0, at.cursor), place];
    at.cursor += 1;
    if (at.path.length > LONGEST_PATH && at.cursor > KEPT_PATH) {
      const dropped = at.cursor - KEPT_PATH;
      at.start = statesOn(at.start, at.path)[dropped];
      at.path = at.path.slice(dropped);
      at.cursor -= dropped;
    }
    show("step");
  }

  function go(cursor) {
    const wanted = Math.max(0, Math.min(at.path.length, cursor));
    if (wanted === at.cursor) return;
    at.cursor = wanted;
    show("move");
  }

  const moves = {
    first: () => go(0),
    back: () => go(at.cursor - 1),
    forward: () => go(at.cursor + 1),
    last: () => go(at.path.length),
    restart: () => open({ id: at.id, start: 0, path: [], cursor: 0 }, "restart", true),
  };

  // Showing ------------------------------------------------------------------------------------------------------------------

  function show(say) {
    const numbers = statesOn(at.start, at.path);
    const state = stateOf(numbers[at.cursor]);
    const before = at.cursor ? stateOf(numbers[at.cursor - 1]) : null;
    const taken = numbers.slice(0, -1).map((number, index) => stepsOf(number)[at.path[index]]);
    const focus = focused();
    document.body.dataset.state = numbers[at.cursor];
    document.body.dataset.combination = at.id;
    showChoices();
    showFaults(taken.slice(0, at.cursor));
    byId("blocks").replaceChildren(...state.blocks.map((block, index) => blockCard(block, index, state, before)));
    byId("actors").replaceChildren(...state.actors.map((actor, index) => actorCard(actor, index, state)));
    showPath(taken);
    showLast(taken, state, before);
    refocus(focus);
    document.body.dataset.address = address();
    writing = writing || setTimeout(writeAddress, ADDRESS_EVERY_MS);
    if (say) byId("live").textContent = announcement(say, taken, state, before);
  }

  function focused() {
    const button = document.activeElement.closest("button");
    if (!button) return null;
    if (button.dataset.step !== undefined) return { actor: button.dataset.actor, rank: button.dataset.rank };
    return button.dataset.cursor !== undefined ? { path: true } : { id: button.id };
  }

  // Whoever works with the keyboard stays where they were: at the same actor's steps, or at the current step of the path.
  function refocus(focus) {
    if (!focus) return;
    let target = null;
    if (focus.actor) {
      const own = [...document.querySelectorAll(`button[data-actor="${focus.actor}"]`)];
      target = own[Math.min(Number(focus.rank), own.length - 1)] || document.querySelector("button[data-step]");
    } else if (focus.path) target = document.querySelector("#path [aria-current]");
    else if (focus.id && byId(focus.id)) target = byId(focus.id);
    if (!target || target.disabled) target = ["back", "forward", "restart"].map(byId).find((button) => !button.disabled);
    if (target && target !== document.activeElement) target.focus({ preventScroll: true });
  }

  function showChoices() {
    const [offer, memory, readers, blocks] = at.id.split("/");
    const about = menu.combinations[at.id];
    const form = byId("choices");
    form.elements.offer.value = offer;
    for (const [name, value] of Object.entries({ memory, readers, blocks })) form.elements[name].value = value;
    const left = [];
    for (const option of form.elements.offer.options) {
      const reason = menu.combinations[[option.value, memory, readers, blocks].join("/")].left_out;
      option.disabled = Boolean(reason);
      option.title = reason || "";
    }
    for (const [place, name] of ["memory", "readers", "blocks"].entries()) {
      for (const input of form.elements[name]) {
        const parts = at.id.split("/");
        parts[place + 1] = input.value;
        const reason = menu.combinations[parts.join("/")].left_out;
        input.disabled = Boolean(reason);
        input.parentNode.title = reason || "";
        if (reason) left.push(`${name} ${input.value}: ${reason}.`);
      }
    }
    const names = [...form.elements.offer.options].filter((option) => option.disabled);
    const reasons = new Map();
    for (const option of names) reasons.set(option.title, [...(reasons.get(option.title) || []), `“${option.text.split(":")[0]}”`]);
    for (const [reason, values] of reasons) left.push(`protocols ${values.join(", ")}: ${reason}.`);
    byId("tells").textContent = `${menu.offers[offer].tells} (${menu.offers[offer].edits}.)`;
    byId("memory-words").textContent = menu.memories[memory];
    byId("left-out").textContent = left.length ? `Not to be chosen together with this: ${left.join(" ")}` : "";
    byId("says").textContent = about.says;
    byId("command").textContent = about.command;
    byId("examples").replaceChildren(...graph.examples.map(exampleButton));
  }

  function exampleButton(example, index) {
    const title = menu.properties[example.property].title;
    const ends = example.cycle ? `, from step ${example.cycle} on for ever` : "";
    const button = element("button", { type: "button", class: "example", id: `example-${index}`, "data-property": example.property },
      element("span", { text: `✗ ${title}` }), element("small", { text: `shortest: ${example.path.length} steps${ends}` }));
    button.addEventListener("click", () => open({ id: at.id, start: 0, path: [...example.path], cursor: example.path.length }, "example", true));
    return button;
  }

  // The counterexamples whose steps are those of the path; one run can break two properties by going on for ever.
  function examplesOfPath() {
    return at.start ? [] : graph.examples.filter((example) => example.path.join() === at.path.join());
  }

  function breaches(taken) {
    const found = taken.flatMap((step, index) => step.broken.map((name) => [name, `Step ${index + 1}: `, ""]));
    if (at.cursor !== at.path.length) return found;
    for (const example of examplesOfPath().filter((one) => one.cycle)) {
      const whose = `${example.starved} gets nothing done.`;
      found.push([example.property, "", `From step ${example.cycle} on these steps can repeat for ever, and ${whose}`]);
    }
    return found;
  }

  function showFaults(taken) {
    byId("faults").replaceChildren(...breaches(taken).map(([name, where, more]) =>
      element("p", { class: "warning", "data-property": name, text: `✗ ${where}${menu.properties[name].breach} ${more}` })));
  }

  function blockCard([flags, blockCase, words, mixed], index, state, before) {
    const old = before ? before.blocks[index] : null;
    const boxes = flags.map((flag, place) => element("div", { class: `flag f${flag}${old && old[0][place] !== flag ? " new" : ""}` },
      element("span", { text: place ? `read[${place - 1}]` : "written" }), element("b", { text: flag })));
    const cells = words.map(([text, kind], place) => {
      const changed = old && (old[2][place][0] !== text || old[2][place][1] !== kind);
      return element("div", { class: `word ${kind}${changed ? " changed" : ""}` }, element("small", { text: `word ${place}` }),
        element("span", { text }));
    });
    const here = state.actors.map((actor, who) => [actor, graph.names[who]]).filter(([actor]) => actor[1] === index);
    const chips = here.map(([actor, name]) => element("span", { class: actor[2] ? "chip inside" : "chip",
      text: actor[2] ? `${name} is inside` : `${name} is at this block` }));
    const changed = old && old[1] !== blockCase;
    return element("article", { class: "block", "data-block": index },
      element("h3", {}, element("span", { text: `block ${index}` }),
        element("span", { class: changed ? "case new" : "case", text: `case ${blockCase}` })),
      element("p", { class: "means", text: menu.cases[blockCase] }),
      element("div", { class: "flags" }, ...boxes),
      element("div", { class: "words" }, ...cells),
      element("p", { class: "torn", text: mixed ? "The two words are of different messages: whoever reads both now reads it torn." : "" }),
      element("div", { class: "chips" }, ...chips));
  }

  function actorCard([pc, block, inside, says], index, state) {
    const rows = menu.offers[at.id.split("/")[0]].rows[index ? 1 : 0];
    const row = rows[pc];
    const [memoryTitle, lines] = state.memories[index];
    const waits = state.waits[index];
    const steps = state.steps.filter((step) => step.actor === index);
    const kept = steps.filter((step) => step.to !== null);
    const program = element("ol", { class: "program", "aria-label": "rows" }, ...rows.map((one, place) =>
      element("li", { title: one.title, "aria-current": place === pc ? "step" : false, text: one.id })));
    return element("article", { class: waits ? "actor waits" : "actor", "data-actor-card": index },
      element("div", { class: "head" }, element("h3", {}, element("span", { text: graph.names[index] })), program),
      element("p", { class: "row" }, element("b", { text: `${row.id} ${row.title}` }),
        document.createTextNode(`, block ${block}`)),
      element("p", { class: "access" }, element("code", { text: row.access }), document.createTextNode(` · ${row.ordering}`)),
      element("p", { class: "why", text: `${row.why} ${row.pairing}`.trim() }),
      says.length ? element("p", { class: "says", text: says.join(" · ") }) : null,
      lines.length ? element("div", { class: "memory" }, element("b", { text: memoryTitle }),
        element("ul", {}, ...lines.map((text) => element("li", { text })))) : null,
      waits ? element("p", { class: "reason", text: waits }) : null,
      element("div", { class: "steps" }, ...steps.map((step, rank) => stepButton(step, rank))),
      kept.length ? null : element("p", { class: "ended",
        text: steps.length ? "The graph ends here: what comes behind a fault is kept for counterexamples only." : "No step is possible." }));
  }

  function stepButton(step, rank) {
    const number = step.place + 1;
    const breaks = step.broken.map((name) => `breaks ${menu.properties[name].title}`).join(", ");
    const note = [step.note, breaks].filter(Boolean).join(" · ");
    const button = element("button", { type: "button", class: `step ${step.kind}${breaks ? " breaks" : ""}`, "data-step": step.place,
      "data-actor": step.actor, "data-rank": rank, disabled: step.to === null, title: step.sentence,
      "aria-keyshortcuts": number < 10 ? number : number === 10 ? 0 : false },
      element("kbd", { text: number === 10 ? 0 : number }), element("span", { class: "clause", text: step.row }),
      element("span", { class: "what", text: step.what }), note ? element("small", { text: note }) : null);
    button.addEventListener("click", () => take(step.place));
    return button;
  }

  function showPath(taken) {
    byId("where").textContent = at.path.length ? `step ${at.cursor} of ${at.path.length}` : "no step yet";
    for (const [id, off] of [["first", !at.cursor], ["back", !at.cursor], ["forward", at.cursor === at.path.length],
      ["last", at.cursor === at.path.length]]) byId(id).disabled = off;
    const example = examplesOfPath().find((one) => one.cycle);
    const list = byId("path");
    const key = (step, index) => [at.id, at.start, ...at.path.slice(0, index + 1), example ? "example" : ""].join();
    while (list.lastChild && (list.children.length > taken.length
      || list.lastChild.dataset.key !== key(taken[list.children.length - 1], list.children.length - 1))) list.lastChild.remove();
    for (let index = list.children.length; index < taken.length; index++) {
      list.append(pathItem(taken[index], index, key(taken[index], index), example && example.cycle === index + 1));
    }
    [...list.children].forEach((item, index) => {
      const current = index + 1 === at.cursor;
      item.firstChild.classList.toggle("ahead", index >= at.cursor);
      if (current) item.firstChild.setAttribute("aria-current", "step");
      else item.firstChild.removeAttribute("aria-current");
    });
    cancelAnimationFrame(scrolling);
    scrolling = requestAnimationFrame(() => {
      const current = list.querySelector("[aria-current]");
      if (current) list.scrollTop = Math.max(0, current.parentNode.offsetTop - list.offsetTop - list.clientHeight / 2);
    });
  }

  function pathItem(step, index, key, repeats) {
    const button = element("button", { type: "button", "data-cursor": index + 1 },
      element("span", { class: "number", text: index + 1 }), element("b", { text: graph.names[step.actor] }),
      element("span", { text: `${step.row} ${step.what}${step.broken.length ? ` ✗ ${step.broken.join(", ")}` : ""}` }),
      repeats ? element("small", { text: "↻ from here on, for ever" }) : null);
    button.addEventListener("click", () => go(index + 1));
    return element("li", { class: step.broken.length ? "broken" : false, "data-key": key }, button);
  }

  function changes(state, before) {
    if (!before) return [];
    return state.blocks.flatMap((block, index) => {
      const old = before.blocks[index];
      if (old[0].join() === block[0].join()) return [];
      const cases = old[1] === block[1] ? `still case ${block[1]}` : `case ${old[1]} → ${block[1]}`;
      return [`Block ${index}: flags ${old[0].join("")} → ${block[0].join("")}, ${cases}.`];
    });
  }

  function showLast(taken, state, before) {
    const step = taken[at.cursor - 1];
    if (!step) {
      byId("told").replaceChildren(element("p", { class: "note",
        text: at.start ? "Earlier steps are no longer kept." : "Nobody has taken a step. Press one of the numbered steps, or the key of its number." }));
      return;
    }
    const made = changes(state, before);
    byId("told").replaceChildren(element("h3", { text: `Step ${at.cursor}: ${graph.names[step.actor]} ${step.row}` }),
      element("p", { text: step.sentence }), ...[step.note, ...made].filter(Boolean).map((text) => element("p", { class: "note", text })));
  }

  function announcement(say, taken, state, before) {
    const step = taken[at.cursor - 1];
    if (!step) return { open: "", choice: byId("says").textContent }[say] ?? "At the start.";
    const broken = breaches(taken.slice(0, at.cursor)).map(([name]) => `${menu.properties[name].title} is broken.`);
    const waiting = state.waits.filter((text, index) => text && !(say === "step" && before.waits[index] === text)); // news only
    const note = step.note && `${step.note.charAt(0).toUpperCase()}${step.note.slice(1)}.`;
    return [`Step ${at.cursor}. ${step.sentence}`, note, ...changes(state, before), ...broken, ...waiting].filter(Boolean).join(" ");
  }

  // Input --------------------------------------------------------------------------------------------------------------------

  const keys = { ArrowLeft: "back", u: "back", ArrowRight: "forward", Home: "first", End: "last" };

  document.addEventListener("keydown", (event) => {
    if (!graph || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    if (event.target.closest("select, input, summary")) return;
    const steps = [...document.querySelectorAll("button[data-step]")];
    let button = null;
    if (/^\d$/.test(event.key)) button = byId("actors").querySelector(`button[data-step="${(Number(event.key) + 9) % 10}"]`);
    else if (ACTOR_KEYS.includes(event.key)) {
      button = steps.find((one) => Number(one.dataset.actor) === ACTOR_KEYS.indexOf(event.key) && !one.disabled);
    } else if (keys[event.key]) moves[keys[event.key]]();
    else return;
    event.preventDefault();
    if (button && !button.disabled) take(Number(button.dataset.step));
  });

  for (const [name, move] of Object.entries(moves)) byId(name).addEventListener("click", move);
  byId("choices").addEventListener("change", () => {
    const form = byId("choices").elements;
    const id = [form.offer.value, form.memory.value, form.readers.value, form.blocks.value].join("/");
    open({ id, start: 0, path: [], cursor: 0 }, "choice", true);
  });
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", () => open(parsed(location.hash), "move"));

  byId("copy").addEventListener("click", async () => {
    let text = "copied";
    writeAddress();
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      text = "copy it from the address bar";
    }
    byId("copy").textContent = text;
    byId("live").textContent = text;
    setTimeout(() => { byId("copy").textContent = "copy link to this state"; }, 1500);
  });

  open(parsed(location.hash), "open").then(() => {
    document.body.dataset.ready = Math.round(performance.now());
  });
})();
