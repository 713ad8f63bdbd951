// Stations: the map and the list of the network; the chosen station with its charts and tables.
export function render({model}) {
  const say = model.strings
  const facts = {sites: [], chosen: "", head: {}, models: [], bar: null, caption: {}, table: [], held: {rows: []},
                 progress: "", empty: "", cycle: ""}
  let by = "error", down = true, seen = ""
  const empty = el("section", "empty")
  const progress = el("p", "progress")
  progress.setAttribute("role", "status")

  // The network
  const map_title = el("h2", ""), map_when = el("p", "when"), bar = el("div", "colourbar")
  const map = el("figure", "network", map_title, map_when, el("div", "map", model.get_child("map")), bar)
  const body = el("tbody", "")
  const heads = [["code", say.code], ["name", say.name], ["error", ""]].map(([key, text]) => {
    const cell = el("th", key === "error" ? "value" : key), button = el("button", "sort", text)
    cell.scope = "col"
    button.title = say.sort
    button.addEventListener("click", () => { down = by === key ? !down : key === "error"; by = key; draw_list() })
    cell.append(button)
    return [key, cell, button]
  })
  const list = el("div", "list", el("table", "", el("thead", "", el("tr", "", ...heads.map(([, cell]) => cell))), body))

  // The station
  const title = el("h2", "title"), meta = el("p", "when"), chips = el("div", "chips"), note = el("p", "hint")
  chips.setAttribute("role", "group")
  chips.setAttribute("aria-label", say.models)
  const figure = (name, heading) => el("figure", `chart ${name}`, el("h3", "", heading), el("div", "plot", model.get_child(name)))
  const cycle_hint = el("p", "hint")
  const months = figure("months", say.cycle)
  months.append(cycle_hint)
  const scores = el("section", "scores"), held = el("section", "held")
  const station = el("section", "station", el("header", "", title, meta), chips, progress, figure("series", say.series),
    el("div", "pair", figure("residuals", say.residuals), months), scores, held, note)
  const whole = el("div", "whole", el("div", "left", map, list), station)
  const root = el("div", "stations", empty, whole)

  const draw_list = () => {
    const focused = root.getRootNode().activeElement?.dataset?.station
    const sign = down ? -1 : 1
    const rows = [...facts.sites].sort((a, b) => {
      if (by !== "error") { return sign * a[by].localeCompare(b[by]) }
      if (a.error == null || b.error == null) { return (a.error == null) - (b.error == null) }
      return sign * (a.error - b.error)
    })
    for (const [key, cell, button] of heads) {
      if (key === "error") { button.textContent = facts.caption.title ?? "" }
      if (key === by) { cell.setAttribute("aria-sort", down ? "descending" : "ascending") } else { cell.removeAttribute("aria-sort") }
    }
    body.replaceChildren(...rows.map((site) => {
      const button = el("button", "pick", site.code)
      button.dataset.station = site.code
      button.setAttribute("aria-label", `${site.code}, ${site.name}, ${site.place}, ${site.text}`)
      button.setAttribute("aria-pressed", site.code === facts.chosen)
      const code = el("th", "", button), row = el("tr", site.code === facts.chosen ? "chosen" : "", code, el("td", "name", site.name, el("span", "sub", site.place)), el("td", "value", site.text))
      code.scope = "row"
      row.addEventListener("click", () => model.send_msg({station: site.code}))
      return row
    }))
    // Bring the chosen one into view when it is another one, or the numbers have come.
    const row = body.querySelector("tr.chosen"), now = `${facts.chosen} ${rows.some((site) => site.error != null)}`
    if (row && now !== seen) { list.scrollTop = row.offsetTop - list.clientHeight / 2; seen = now }
    if (focused) { body.querySelector(`[data-station="${CSS.escape(focused)}"]`)?.focus({preventScroll: true}) }
  }
  // Up and down go through the list as it is sorted.
  body.addEventListener("keydown", (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key]
    if (!step) { return }
    event.preventDefault()
    const buttons = [...body.querySelectorAll("button")]
    const next = buttons[buttons.indexOf(root.getRootNode().activeElement) + step]
    if (next) { next.focus(); model.send_msg({station: next.dataset.station}) }
  })
  const draw_head = () => {
    title.textContent = facts.head.title ?? ""
    meta.textContent = facts.head.meta ?? ""
    note.textContent = facts.head.note ?? ""
  }
  const table = (caption, columns, rows, parts = []) => {
    const twice = parts.length ? [el("tr", "", el("th", ""), ...columns.flatMap(() => parts.map((text) => el("th", "", text))))] : []
    const top = el("thead", "", el("tr", "", el("th", ""), ...columns.map((text) => el("th", "", text))), ...twice)
    top.querySelectorAll("th").forEach((cell) => { cell.scope = "col" })
    if (parts.length) {
      top.rows[0].querySelectorAll("th:not(:first-child)").forEach((cell) => { cell.colSpan = parts.length; cell.scope = "colgroup" })
    }
    return el("div", "wide", el("table", "", el("caption", "", caption), top, el("tbody", "", ...rows.map((row) => {
      const key = el("span", "key"), name = el("th", "", key, row.label)
      key.style.background = row.colour
      name.scope = "row"
      return el("tr", "", name, ...row.cells.map((text) => el("td", "", text)))
    }))))
  }
  const draw_table = () => scores.replaceChildren(...(facts.table.length ? [table(say.scores, [say.rmse, say.bias, say.correlation], facts.table)] : []))
  const draw_held = () => {
    held.replaceChildren(...(facts.held.empty ? [el("h3", "", say.held), el("p", "hint lines", facts.held.empty)]
      : [table(say.held, [say.rmse, say.bias, say.correlation], facts.held.rows, [say.as_input, say.as_withheld]), el("p", "hint", facts.held.about ?? "")]))
  }
  const draw_bar = () => {
    map_title.textContent = facts.caption.title ?? ""
    map_when.textContent = facts.caption.when ?? ""
    map.setAttribute("aria-label", `${facts.caption.title ?? ""}, ${facts.caption.when ?? ""}`)
    draw_colour_bar(bar, facts.bar)
  }
  const draw_empty = () => { empty.hidden = !facts.empty; whole.hidden = !!facts.empty; empty.textContent = facts.empty }
  const draw_progress = () => { progress.textContent = facts.progress }
  const draw_cycle = () => { cycle_hint.textContent = facts.cycle }
  const drawers = [[["sites", "chosen", "caption"], draw_list], [["head"], draw_head], [["models"], () => draw_chips(chips, facts.models, (name) => model.send_msg({model: name}), el("span", "observed", say.observed))], [["table"], draw_table],
    [["held"], draw_held], [["bar", "caption"], draw_bar], [["empty"], draw_empty], [["progress"], draw_progress], [["cycle"], draw_cycle]]
  const draw = (news) => drawers.forEach(([names, drawer]) => { if (names.some((name) => name in news)) { drawer() } })
  on_news(model, facts, draw)
  draw(facts)
  model.send_msg({ready: true})
  return root
}
