"use strict";
// Plots one can look around in: a card for the point nearest to the mouse or finger, a click that copies the number of its
// trial, and a box that is dragged to look closer. The data of a plot are
//   points: [x, y (parts of a thousand), accuracy, costs, trial, published, blocks, id of a network with a drawing or "",
//            number of the trial or null]
//   x, y:   ticks from coarse to fine, each [place (parts of a thousand), text].
(() => {
  const card = document.getElementById("card"), said = document.getElementById("said");
  const dot = document.createElement("div"), box = document.createElement("div");
  dot.id = "dot";
  box.id = "box";
  const WHOLE = [0, 0, 1000, 1000];
  const REACH = 28, DRAG = 6, CLOSEST = 25;  // pixels, pixels, parts of a thousand

  function hide() {
    card.hidden = true;
    dot.remove();
  }

  function element(name, text, look) {
    const made = document.createElement(name);
    made.textContent = text;
    if (look) made.className = look;
    return made;
  }

  function copy(number) {
    const done = () => {
      said.textContent = "trial " + number + ": its number is in the clipboard";
      setTimeout(() => { said.textContent = ""; }, 2500);
    };
    const old = () => {  // browsers that keep the clipboard from pages of a disk
      const field = element("textarea", number);
      document.body.append(field);
      field.select();
      if (document.execCommand("copy")) done();
      field.remove();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(String(number)).then(done, old);
    else old();
  }

  for (const area of document.querySelectorAll("[data-points]")) {
    const data = JSON.parse(document.getElementById(area.dataset.points).textContent);
    const svg = area.querySelector("svg"), grid = svg.querySelector(".grid"), moved = area.querySelectorAll("[data-x]");
    const out = element("button", "whole plot", "out");
    const first = area.querySelectorAll(".xt,.yt"), lines = grid.getAttribute("d");
    let seen = WHOLE, shown = null, start = null;

    const at = (x, y) => [(x - seen[0]) / (seen[2] - seen[0]), (y - seen[1]) / (seen[3] - seen[1])];
    const inside = (x, y) => x >= -0.001 && x <= 1.001 && y >= -0.001 && y <= 1.001;

    function nearest(frame, event) {
      let best = null, least = REACH * REACH;
      for (const point of data.points) {
        const [x, y] = at(point[0], point[1]);
        if (!inside(x, y)) continue;
        const dx = frame.left + x * frame.width - event.clientX, dy = frame.top + y * frame.height - event.clientY;
        const distance = dx * dx + dy * dy - (point[7] ? 60 : 0);  // the front wins over what lies under it
        if (distance < least) { least = distance; best = point; }
      }
      return best;
    }

    function show(frame, point) {
      const [, , accuracy, costs, trial, published, blocks, id] = point;
      card.replaceChildren(
        element("b", accuracy), element("p", costs), element("p", published ? trial + " · " + published : trial));
      const drawing = id && document.querySelector("#net-" + id + " svg");
      if (drawing) card.append(drawing.cloneNode(true));
      else card.append(element("p", blocks));
      card.hidden = false;
      const [x, y] = at(point[0], point[1]);
      dot.style.left = 100 * x + "%";
      dot.style.top = 100 * y + "%";
      area.append(dot);
      const px = frame.left + x * frame.width, py = frame.top + y * frame.height;
      const size = card.getBoundingClientRect();
      const left = px + 18 + size.width < innerWidth - 8 ? px + 18 : px - 18 - size.width;
      card.style.left = Math.max(8, Math.min(left, innerWidth - size.width - 8)) + "px";
      // Beside the point where there is room, below or above it on a narrow screen.
      const narrow = left < 8;
      const top = narrow ? (py + 24 + size.height < innerHeight ? py + 24 : py - 24 - size.height) : py - size.height / 2;
      card.style.top = Math.max(8, Math.min(top, innerHeight - size.height - 8)) + "px";
    }

    // The finest ticks that have room.
    function ticks(axis, from, to, pixels, room) {
      const visible = (mark) => mark[0] >= from - 0.01 && mark[0] <= to + 0.01;
      let best = data[axis][0].filter(visible);
      for (const level of data[axis].slice(1)) {
        const marks = level.filter(visible).sort((a, b) => a[0] - b[0]);
        const apart = marks.every((mark, n) => !n || (mark[0] - marks[n - 1][0]) / (to - from) * pixels >= room);
        if (apart && marks.length > best.length) best = marks;
      }
      return best;
    }

    function look(next) {
      seen = next;
      const whole = next === WHOLE, frame = area.getBoundingClientRect();
      svg.setAttribute("viewBox", [next[0], next[1], next[2] - next[0], next[3] - next[1]].join(" "));
      svg.style.overflow = whole ? "" : "hidden";
      for (const one of moved) {
        const [x, y] = at(+one.dataset.x, +one.dataset.y);
        one.style.left = 100 * x + "%";
        one.style.top = 100 * y + "%";
        one.style.visibility = inside(x, y) ? "" : "hidden";
      }
      for (const old of area.querySelectorAll(".xt,.yt")) old.remove();
      if (whole) {
        area.append(...first);
        grid.setAttribute("d", lines);
        out.remove();
      } else {
        for (const [place, text] of ticks("x", next[0], next[2], frame.width, 52)) {
          const tick = element("span", text, "xt");
          tick.style.left = 100 * at(place, 0)[0] + "%";
          area.append(tick);
        }
        const ys = ticks("y", next[1], next[3], frame.height, 24);
        for (const [place, text] of ys) {
          const tick = element("span", text, "yt");
          tick.style.top = 100 * at(0, place)[1] + "%";
          area.append(tick);
        }
        grid.setAttribute("d", ys.map(([place]) => "M0 " + place + "H1000").join(""));
        area.append(out);
      }
      hide();
    }

    function dragged(event) {
      const frame = area.getBoundingClientRect();
      const part = (value, low, size) => Math.max(0, Math.min(1, (value - low) / size));
      const xs = [start.clientX, event.clientX].map((x) => part(x, frame.left, frame.width)).sort((a, b) => a - b);
      const ys = [start.clientY, event.clientY].map((y) => part(y, frame.top, frame.height)).sort((a, b) => a - b);
      return [xs[0], ys[0], xs[1], ys[1]];
    }

    area.addEventListener("pointermove", (event) => {
      if (start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > DRAG) {
        const [left, top, right, bottom] = dragged(event);
        hide();
        box.style.cssText = `left:${100 * left}%;top:${100 * top}%;width:${100 * (right - left)}%;height:${100 * (bottom - top)}%`;
        area.append(box);
        return;
      }
      const frame = area.getBoundingClientRect(), point = nearest(frame, event);
      if (!point) { shown = null; hide(); } else if (point !== shown || card.hidden) { shown = point; show(frame, point); }
    });
    area.addEventListener("pointerdown", (event) => {
      const frame = area.getBoundingClientRect(), point = nearest(frame, event);
      if (point) { shown = point; show(frame, point); }
      if (event.pointerType !== "mouse" || event.button || event.target === out) return;
      start = event;
      area.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    area.addEventListener("pointerup", (event) => {
      if (!start) return;
      const [left, top, right, bottom] = dragged(event), boxed = box.isConnected;
      start = null;
      box.remove();
      const w = seen[2] - seen[0], h = seen[3] - seen[1];
      if (boxed) {
        if ((right - left) * w >= CLOSEST && (bottom - top) * h >= CLOSEST)
          look([seen[0] + left * w, seen[1] + top * h, seen[0] + right * w, seen[1] + bottom * h]);
        return;
      }
      const point = nearest(area.getBoundingClientRect(), event);
      if (point && point[8] !== null) copy(point[8]);
      const row = point && point[7] && document.getElementById("net-" + point[7]);
      if (row) { row.open = true; row.scrollIntoView({ behavior: "smooth", block: "start" }); hide(); }
    });
    area.addEventListener("pointercancel", () => { start = null; box.remove(); });
    area.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") { shown = null; hide(); } });
    out.addEventListener("click", () => look(WHOLE));
  }
  addEventListener("scroll", hide, { passive: true });
  addEventListener("pointerdown", (event) => { if (!event.target.closest("[data-points]")) hide(); });
})();
