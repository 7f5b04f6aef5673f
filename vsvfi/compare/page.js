"use strict";
/* Lays the images of each place over one another. Without this script they stand below each other. */
for (const place of document.querySelectorAll(".place")) {
  const stage = place.querySelector(".stage"), stack = place.querySelector(".stack");
  const figures = new Map([...stack.querySelectorAll("figure")].map(figure => [figure.dataset.name, figure]));
  const [left, right] = place.querySelectorAll("select");
  const slider = place.querySelector("input[type=range]"), errors = place.querySelector("input[type=checkbox]");
  const blink = place.querySelector(".blink"), zooms = [...place.querySelectorAll(".zoom")];
  const said = place.querySelector("[role=status]"), tags = place.querySelectorAll(".tags span");
  const edge = stack.appendChild(Object.assign(document.createElement("div"), { className: "edge" }));
  let swapped = false, zoom = 1;

  const label = name => figures.get(name).dataset.label;
  const shownRight = () => errors.checked && figures.has("error " + right.value) ? "error " + right.value : right.value;

  function draw(speak) {
    const [a, b] = swapped ? [shownRight(), shownRight()] : [left.value, shownRight()];
    for (const [name, figure] of figures) {
      figure.classList.toggle("left", name === a);
      figure.classList.toggle("right", name === b && !(swapped && a !== b));
    }
    const cut = swapped ? 0 : Number(slider.value);
    stack.style.setProperty("--cut", cut + "%");
    edge.style.left = cut + "%";
    edge.hidden = swapped || cut <= 0 || cut >= 100;
    tags[0].textContent = cut > 0 ? label(a) : "";
    tags[1].textContent = cut < 100 ? label(b) : "";
    blink.setAttribute("aria-pressed", String(swapped));
    for (const button of zooms) button.setAttribute("aria-pressed", String(Number(button.value) === zoom));
    if (speak) said.textContent = swapped ? "Shown: " + label(b)
      : cut >= 100 ? "Shown: " + label(a) : cut <= 0 ? "Shown: " + label(b)
      : label(a) + " on the left, " + label(b) + " on the right";
  }

  function setZoom(value) {
    const x = (stage.scrollLeft + stage.clientWidth / 2) / stack.clientWidth;
    const y = (stage.scrollTop + stage.clientHeight / 2) / stack.clientHeight;
    zoom = Math.min(8, Math.max(1, value));
    stack.style.setProperty("--zoom", zoom);
    stack.classList.toggle("zoomed", zoom > 1);
    stage.scrollLeft = x * stack.clientWidth - stage.clientWidth / 2;
    stage.scrollTop = y * stack.clientHeight - stage.clientHeight / 2;
    draw(false);
  }

  /* Blinking puts the right image in the place of the left one, whole. */
  function toggle() {
    if (!swapped && Number(slider.value) < 100) slider.value = 100;
    swapped = !swapped;
    draw(true);
  }

  /* What was chosen for the right is shown, also where the left image covers everything. */
  function reveal() {
    if (Number(slider.value) >= 100) swapped = true;
    draw(true);
  }

  function choose(index) {
    if (index < right.options.length) { right.selectedIndex = index; reveal(); }
  }

  const keys = {
    b: toggle, " ": toggle,
    e: () => { errors.checked = !errors.checked; reveal(); },
    "+": () => setZoom(zoom * 2), "=": () => setZoom(zoom * 2), "-": () => setZoom(zoom / 2), 0: () => setZoom(1),
    n: () => choose((right.selectedIndex + 1) % right.options.length),
    p: () => choose((right.selectedIndex + right.options.length - 1) % right.options.length),
  };
  place.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    if (event.key === " " && event.target !== stage) return;
    const action = /^[1-9]$/.test(event.key) ? () => choose(Number(event.key) - 1) : keys[event.key.toLowerCase()];
    if (action) { event.preventDefault(); action(); }
  });
  left.addEventListener("change", () => draw(true));
  for (const control of [right, errors]) control.addEventListener("change", reveal);
  slider.addEventListener("input", () => { swapped = false; draw(false); });
  slider.addEventListener("change", () => draw(true));
  blink.addEventListener("click", toggle);
  for (const button of zooms) button.addEventListener("click", () => setZoom(Number(button.value)));

  /* The edge follows a mouse or pen that is pressed on the image; fingers scroll. */
  stage.addEventListener("pointerdown", event => {
    if (event.pointerType === "touch" || event.button) return;
    const move = moved => {
      const box = stack.getBoundingClientRect();
      slider.value = Math.min(100, Math.max(0, (moved.clientX - box.left) / box.width * 100));
      swapped = false;
      draw(false);
    };
    const stop = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", stop); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", stop);
    move(event);
    stage.focus();
    event.preventDefault();
  });

  place.classList.add("live");
  for (const part of place.querySelectorAll("[hidden]")) if (part !== edge) part.hidden = false;
  draw(false);
}
