// The panels of a page: headings, figures, colour bars, and the scores below them.
export function render({model}) {
  const root = el("div", `panels ${model.layout}`)
  const facts = {titles: [], bars: [null, null], strips: []}
  const columns = 1 + model.roles.filter((role) => /^[a-e]$/.test(role)).length
  root.style.setProperty("--columns", columns)
  root.classList.toggle("many", columns > 4)
  const headings = []
  const figures = model.get_child("figures")
  model.roles.forEach((role, n) => {
    const title = el("h2", "title"), when = el("p", "when"), note = el("p", "note")
    const heading = el("div", "heading", el("div", "row", title, note), when)
    headings.push({title, when, note, heading})
    const cell = el("figure", "panel", heading, el("div", n < model.maps ? "map" : "map plot", figures[n]))
    cell.dataset.role = role
    if (model.layout === "compare") {
      const [kind, letter] = role.includes("_") ? role.split("_") : ["above", role]
      const column = letter === "truth" ? 1 : "abcde".indexOf(letter) + 2
      cell.dataset.kind = kind === "above" ? "above" : "below"
      cell.style.gridArea = `${kind === "above" ? 1 : 3} / ${column}`
    }
    root.append(cell)
  })
  // Buttons of the map, on the first panel: they serve all panels, which move together.
  const say = model.strings
  const PATHS = {in: "M12 5v14M5 12h14", out: "M5 12h14", whole: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
                 box: "M4 8V4h4M20 8V4h-4M4 16v4h4M20 16v4h-4M11 4h2M11 20h2M4 11v2M20 11v2"}
  const button = (icon, text, act) => {
    const node = el("button", `map-${icon}`)
    node.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${PATHS[icon]}"/></svg>`
    node.title = text
    node.setAttribute("aria-label", text)
    node.addEventListener("click", act)
    return node
  }
  const box = button("box", say.box, () => { model.drawing = !model.drawing })
  const place = model.layout === "swipe" ? root : root.querySelector(".map")
  if (model.layout !== "swipe" && model.maps > 0) { headings[0].heading.classList.add("tooled") }
  if (model.maps > 0) { place.append(el("div", "map-tools",
    button("in", say.zoom_in, () => model.send_msg({zoom: "in"})),
    button("out", say.zoom_out, () => model.send_msg({zoom: "out"})),
    button("whole", say.whole, () => model.send_msg({whole: true})), box)) }
  const draw_box = () => { box.setAttribute("aria-pressed", model.drawing); root.classList.toggle("drawing", model.drawing) }
  model.on("drawing", draw_box)

  const bars = ["value", "difference"].map((kind) => {
    const bar = el("div", `colourbar ${kind}`)
    root.append(bar)
    return bar
  })
  if (model.layout === "compare") {
    root.append(el("section", "aside", el("h2", "", say.by_latitude), el("div", "map-like", model.get_child("aside"))))
  }
  if (model.layout === "swipe") {
    const split = document.createElement("input")
    Object.assign(split, {type: "range", className: "split", min: 0, max: 100, step: 0.5, value: 50})
    split.setAttribute("aria-label", say.split)
    const move = () => root.style.setProperty("--split", `${split.value}%`)
    split.addEventListener("input", move)
    root.append(el("div", "line"), split)
    move()
  }
  const strips = Array.from({length: model.layout === "compare" ? columns : 0}, (_, n) => {
    const strip = el("section", n === 0 ? "strip labels" : "strip")
    strip.style.gridColumn = n + 1
    root.append(strip)
    return strip
  })

  const draw_titles = () => facts.titles.forEach((text, n) => {
    headings[n].title.textContent = text.title
    headings[n].when.textContent = text.when
    headings[n].note.textContent = text.note
    headings[n].heading.parentNode.setAttribute("aria-label", `${text.title}, ${text.when}`)
    headings[n].heading.parentNode.classList.toggle("waiting", Boolean(text.waiting))
    headings[n].title.title = text.title
  })
  const draw_bars = () => bars.forEach((bar, n) => draw_colour_bar(bar, facts.bars[n]))
  // Made and escaped by the server.
  const draw_strips = () => strips.forEach((strip, n) => { strip.innerHTML = facts.strips[n] ?? "" })
  on_news(model, facts, (news) => {
    if ("titles" in news) { draw_titles() }
    if ("bars" in news) { draw_bars() }
    if ("strips" in news) { draw_strips() }
  })
  draw_titles(); draw_bars(); draw_strips(); draw_box()
  model.send_msg({ready: true})
  return root
}
