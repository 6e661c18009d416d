"use strict";
// Shows a card for the point nearest to the mouse or finger. Points come as
// [x, y (parts of a thousand), accuracy, costs, trial, published, blocks, id of a network with a drawing or ""].
(() => {
  const card = document.getElementById("card");
  const dot = document.createElement("div");
  dot.id = "dot";
  const REACH = 28;

  function hide() {
    card.hidden = true;
    dot.remove();
  }

  function nearest(points, box, event) {
    let best = null, least = REACH * REACH;
    for (const point of points) {
      const dx = box.left + point[0] * box.width / 1000 - event.clientX;
      const dy = box.top + point[1] * box.height / 1000 - event.clientY;
      const distance = dx * dx + dy * dy - (point[7] ? 60 : 0);  // the front wins over what lies under it
      if (distance < least) { least = distance; best = point; }
    }
    return best;
  }

  function line(name, text) {
    const element = document.createElement(name);
    element.textContent = text;
    return element;
  }

  function show(area, box, point) {
    const [x, y, accuracy, costs, trial, published, blocks, id] = point;
    card.replaceChildren(line("b", accuracy), line("p", costs), line("p", published ? trial + " · " + published : trial));
    const drawing = id && document.querySelector("#net-" + id + " svg");
    if (drawing) card.append(drawing.cloneNode(true));
    else card.append(line("p", blocks));
    card.hidden = false;
    dot.style.left = x / 10 + "%";
    dot.style.top = y / 10 + "%";
    area.append(dot);
    const px = box.left + x * box.width / 1000, py = box.top + y * box.height / 1000;
    const size = card.getBoundingClientRect();
    const left = px + 18 + size.width < innerWidth - 8 ? px + 18 : px - 18 - size.width;
    card.style.left = Math.max(8, Math.min(left, innerWidth - size.width - 8)) + "px";
    // Beside the point where there is room, below or above it on a narrow screen.
    const narrow = left < 8;
    const top = narrow ? (py + 24 + size.height < innerHeight ? py + 24 : py - 24 - size.height) : py - size.height / 2;
    card.style.top = Math.max(8, Math.min(top, innerHeight - size.height - 8)) + "px";
  }

  for (const area of document.querySelectorAll("[data-points]")) {
    const points = JSON.parse(document.getElementById(area.dataset.points).textContent);
    let shown = null;
    const look = (event) => {
      const box = area.getBoundingClientRect();
      const point = nearest(points, box, event);
      if (!point) { shown = null; hide(); } else if (point !== shown || card.hidden) { shown = point; show(area, box, point); }
    };
    area.addEventListener("pointermove", look);
    area.addEventListener("pointerdown", look);
    area.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") { shown = null; hide(); } });
    area.addEventListener("click", (event) => {
      const point = nearest(points, area.getBoundingClientRect(), event);
      const row = point && point[7] && document.getElementById("net-" + point[7]);
      if (row && event.pointerType === "mouse") { row.open = true; row.scrollIntoView({ behavior: "smooth", block: "start" }); hide(); }
    });
  }
  addEventListener("scroll", hide, { passive: true });
  addEventListener("pointerdown", (event) => { if (!event.target.closest("[data-points]")) hide(); });
})();
