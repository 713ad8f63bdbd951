// The panels of a page: headings, figures, colour bars, and the numbers beside them.
function el(tag, className, ...children) {
  const node = document.createElement(tag)
  node.className = className
  node.append(...children)
  return node
}

export function render({model}) {
  const root = el("div", `panels ${model.layout}`)
  const headings = []
  const figures = model.get_child("figures")
  model.roles.forEach((role, n) => {
    const title = el("h2", "title"), when = el("p", "when"), note = el("p", "note")
    const heading = el("div", "heading", el("div", "row", title, note), when)
    headings.push({title, when, note})
    const cell = el("figure", "panel", heading, el("div", "map", figures[n]))
    cell.dataset.role = role
    cell.setAttribute("aria-label", model.titles[n]?.title ?? role)
    root.append(cell)
  })
  const bars = ["value", "difference"].map((kind) => {
    const bar = el("div", `colourbar ${kind}`)
    root.append(bar)
    return bar
  })
  const numbers = el("section", "numbers")
  if (model.layout === "compare") { root.append(numbers) }

  const draw_titles = () => model.titles.forEach((text, n) => {
    headings[n].title.textContent = text.title
    headings[n].when.textContent = text.when
    headings[n].note.textContent = text.note
  })
  const draw_bars = () => bars.forEach((bar, n) => {
    const spec = model.bars[n]
    bar.hidden = !spec
    if (!spec) { return }
    const ramp = el("div", "ramp")
    ramp.style.background = `linear-gradient(to right, ${spec.colours.join(",")})`
    const scale = el("div", "scale")
    for (const tick of spec.ticks) {
      const mark = el("span", "tick", tick.text)
      mark.style.left = `${tick.at}%`
      scale.append(mark)
    }
    const unit = el("span", "unit", spec.label)
    bar.setAttribute("aria-label", spec.label)
    bar.replaceChildren(unit, el("div", "axis", ramp, scale))
  })
  // Made and escaped by the server.
  const draw_numbers = () => { numbers.innerHTML = model.numbers }
  model.on("titles", draw_titles)
  model.on("bars", draw_bars)
  model.on("numbers", draw_numbers)
  draw_titles(); draw_bars(); draw_numbers()
  return root
}
