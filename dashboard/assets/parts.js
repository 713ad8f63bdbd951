// What pages draw alike. It stands before a page's own script, see `dashboard.components.js`.
function el(tag, className, ...children) {
  const node = document.createElement(tag)
  node.className = className
  node.append(...children.filter((child) => child != null))
  return node
}

// A colour bar as `dashboard.maps.layers.colour_bar` tells it; without one it is hidden.
function draw_colour_bar(bar, spec) {
  bar.hidden = !spec
  if (!spec) { return }
  const ramp = el("div", "ramp")
  ramp.style.background = `linear-gradient(to right, ${spec.colours.join(",")})`
  const scale = el("div", "scale", ...spec.ticks.map((tick) => {
    const mark = el("span", "tick", tick.text)
    mark.style.left = `${tick.at}%`
    return mark
  }))
  bar.setAttribute("role", "img")
  bar.setAttribute("aria-label", `${spec.label}: ${spec.ticks[0]?.text} – ${spec.ticks.at(-1)?.text}`)
  bar.replaceChildren(el("span", "unit", spec.label), el("div", "axis", ramp, scale))
}

// Buttons that switch the series of models on and off, with their line; the focus stays.
function draw_chips(chips, models, choose, ...more) {
  const focused = chips.getRootNode().activeElement?.dataset?.model
  chips.replaceChildren(...models.map((entry) => {
    const chip = el("button", "chip")
    chip.dataset.model = entry.name
    chip.setAttribute("aria-pressed", entry.on)
    chip.innerHTML = `<svg viewBox="0 0 26 8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4"/></svg><span></span>`
    const line = chip.querySelector("line")
    line.style.stroke = entry.colour
    line.style.strokeDasharray = entry.dash
    chip.querySelector("span").textContent = entry.label
    chip.addEventListener("click", () => choose(entry.name))
    return chip
  }), ...more)
  if (focused) { chips.querySelector(`[data-model="${CSS.escape(focused)}"]`)?.focus() }
}

