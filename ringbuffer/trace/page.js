"use strict";
// Stepping through a run. Everything to be shown is in the page already; this only says which step is the current one.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const steps = all("a.step");
  const words = all(".words li");
  const arrows = all("g.arrow");
  const panel = document.querySelector("aside");
  const pane = document.querySelector(".picture");
  const where = document.querySelector(".where");
  let current = -1;

  document.documentElement.classList.add("js");

  function numberInAddress() {
    const found = /^#step-(\d+)$/.exec(location.hash);
    return found ? Number(found[1]) : 0;
  }

  // Scroll the picture, and only that, until the step is in view; from far away, to a third of its height.
  function reveal(step) {
    const row = step.querySelector(".band").getBoundingClientRect();
    const box = step.querySelector(".box").getBoundingClientRect();
    const view = pane.getBoundingClientRect();
    const top = view.top + document.querySelector(".sticky").offsetHeight;
    const margin = row.height * 2;
    const far = row.top < view.top - view.height || row.bottom > view.bottom + row.height * 2;
    if (far) pane.scrollTop += row.top - top - (view.bottom - top) / 3;
    else if (row.top < top + margin) pane.scrollTop -= top + margin - row.top;
    else if (row.bottom > view.bottom - margin) pane.scrollTop += row.bottom + margin - view.bottom;
    if (box.left < view.left + margin) pane.scrollLeft -= view.left + margin - box.left;
    else if (box.right > view.right - margin) pane.scrollLeft += box.right + margin - view.right;
  }

  function clamp(index) {
    return Math.max(0, Math.min(steps.length - 1, index));
  }

  function select(index, { address = true, focus = false } = {}) {
    if (!steps.length) return;
    index = clamp(index);
    if (index !== current) {
      current = index;
      steps.forEach((step, at) => {
        step.classList.toggle("current", at === index);
        step.tabIndex = at === index ? 0 : -1;
        if (at === index) step.setAttribute("aria-current", "step");
        else step.removeAttribute("aria-current");
      });
      words.forEach((item, at) => item.classList.toggle("current", at === index));
      const number = steps[index].dataset.step;
      arrows.forEach((arrow) => {
        arrow.classList.toggle("on", arrow.dataset.to === number);
        arrow.classList.toggle("out", arrow.dataset.from === number);
      });
      where.textContent = `step ${number} of ${steps.length}`;
      panel.scrollTop = 0;
    }
    if (address) history.replaceState(null, "", `#${steps[index].id}`);
    reveal(steps[index]);
    if (focus) steps[index].focus({ preventScroll: true });
  }

  const moves = {
    first: () => 0,
    previous: () => current - 1,
    next: () => current + 1,
    last: () => steps.length - 1,
  };
  const keys = {
    ArrowDown: "next", ArrowRight: "next", j: "next", " ": "next",
    ArrowUp: "previous", ArrowLeft: "previous", k: "previous", Home: "first", End: "last",
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const busy = event.target.closest("button, summary, pre, input, textarea");
    if (busy && (event.key === " " || busy.matches("pre, input, textarea"))) return;
    let move = keys[event.key];
    if (!move || (event.shiftKey && event.key !== " ")) return;
    if (event.key === " " && event.shiftKey) move = "previous";
    event.preventDefault();
    select(moves[move](), { focus: steps.includes(document.activeElement) });
  });
  all("[data-go]").forEach((button) => button.addEventListener("click", () => select(moves[button.dataset.go]())));
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#step-"]');
    if (!link) return;
    event.preventDefault();
    const number = Number(link.getAttribute("href").slice(6));
    select(number - 1, { focus: link.classList.contains("step") });
  });
  window.addEventListener("hashchange", () => {
    if (numberInAddress()) select(numberInAddress() - 1, { address: false });
  });

  const copy = document.querySelector(".copy");
  copy.addEventListener("click", async () => {
    const command = document.getElementById("command");
    let done = true;
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(command);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand("copy");
    }
    copy.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });

  window.addEventListener("resize", () => reveal(steps[current]));

  select((numberInAddress() || Number(panel.dataset.start)) - 1, { address: false });
})();
