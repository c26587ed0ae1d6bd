// A map of the world beside the four numbers of a box: draw the box with the pointer, or type it.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function add(box) {
    const fields = [0, 1, 2, 3].map((at) => box.querySelector(`[data-corner="${at}"]`));
    const map = element("svg", {
      viewBox: "-180 -90 360 180", class: "map draw", role: "img",
      "aria-label": "Map of the world: draw a box with the pointer, or type its edges above",
    });
    map.append(element("image", {
      href: box.dataset.map, x: -180, y: -90, width: 360, height: 180, preserveAspectRatio: "none",
    }));
    for (let at = -150; at < 180; at += 30) {
      map.append(element("line", { x1: at, y1: -90, x2: at, y2: 90, class: "grid" }));
      if (Math.abs(at) < 90) map.append(element("line", { x1: -180, y1: at, x2: 180, y2: at, class: "grid" }));
    }
    const drawn = element("rect", { class: "area", width: 0, height: 0 });
    map.append(drawn);
    box.append(map);
    let start = null;

    function show() {
      const [west, south, east, north] = fields.map((field) => parseFloat(field.value));
      const whole = [west, south, east, north].every(Number.isFinite) && east >= west && north >= south;
      drawn.setAttribute("x", whole ? west : 0);
      drawn.setAttribute("y", whole ? -north : 0);
      drawn.setAttribute("width", whole ? east - west : 0);
      drawn.setAttribute("height", whole ? north - south : 0);
    }

    function place(event) {
      const frame = map.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * 360 - 180;
      const y = 90 - ((event.clientY - frame.top) / frame.height) * 180;
      return [Math.max(-180, Math.min(180, x)), Math.max(-90, Math.min(90, y))].map(Math.round);
    }

    map.addEventListener("pointerdown", (event) => {
      start = place(event);
      map.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    map.addEventListener("pointermove", (event) => {
      if (!start) return;
      const end = place(event);
      const edges = [0, 1].map((at) => Math.min(start[at], end[at]))
        .concat([0, 1].map((at) => Math.max(start[at], end[at])));
      fields.forEach((field, at) => { field.value = edges[at]; });
      show();
    });
    for (const name of ["pointerup", "pointercancel"]) map.addEventListener(name, () => { start = null; });
    fields.forEach((field) => field.addEventListener("input", show));
    show();
  }

  document.querySelectorAll("[data-map]").forEach(add);
})();
