// Benchmarks: a table that sorts, a chart with intervals, the document's tables, and what made it all.
export function render({model}) {
  const say = model.strings
  const facts = {table: null, about: [], ablations: [], chart: "", empty: "", faults: []}
  const empty = el("section", "empty"), faults = el("ul", "faults")
  const scores = el("section", "scores")
  const caption = el("p", "when")
  const chart = el("figure", "chart", el("h2", "", say.chart), caption, el("div", "plot", model.get_child("chart")))
  const about = el("details", "about", el("summary", "", say.about), el("dl", ""))
  const ablations = el("section", "ablations")
  const main = el("div", "main", scores, chart)
  const root = el("div", "bench", faults, empty, main, about, ablations)

  const interval = (text) => text ? el("span", "interval", text) : null
  const draw_table = () => {
    const spec = facts.table
    main.hidden = !spec
    if (!spec) { return }
    const focused = root.getRootNode().activeElement?.dataset?.key
    const head = el("tr", "")
    for (const column of [{key: "model", label: say.model}, ...spec.columns]) {
      const cell = el("th", ""), button = el("button", "sort", column.label)
      cell.scope = "col"
      button.dataset.key = column.key
      button.title = say.sort
      if (column.key === spec.sort) { cell.setAttribute("aria-sort", spec.order) }
      button.addEventListener("click", () => model.send_msg({sort: column.key}))
      cell.append(button)
      head.append(cell)
    }
    const body = el("tbody", "", ...spec.rows.map((row) => {
      const name = el("th", "")
      name.scope = "row"
      const key = el("span", "key")
      key.style.background = row.colour
      name.append(key, row.label)
      const line = el("tr", "", name, ...row.cells.map((cell) => el("td", cell.best ? "best" : "", cell.value, interval(cell.interval))))
      line.dataset.model = row.model
      return line
    }))
    const table = el("table", "", el("caption", "", el("span", "", spec.caption)), el("thead", "", head), body)
    scores.replaceChildren(el("div", "wide", table), el("p", "hint", spec.hint))
    if (focused) { scores.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus() }
  }
  const draw_about = () => {
    about.hidden = facts.about.length === 0
    about.querySelector("dl").replaceChildren(...facts.about.flatMap(([name, text]) => [el("dt", "", name), el("dd", "", text)]))
  }
  const draw_ablations = () => {
    ablations.hidden = facts.ablations.length === 0
    ablations.replaceChildren(el("h2", "", say.tables), el("p", "hint", say.other_data), ...facts.ablations.map((table) => {
      const head = el("tr", "", el("th", "", ""), ...table.columns.flatMap((column) => [el("th", "", column, el("span", "whose", say.ours)), el("th", "document", column, el("span", "whose", say.document))]))
      head.querySelectorAll("th").forEach((cell) => { cell.scope = "col" })
      const rows = table.rows.map((row) => {
        const name = el("th", "", row.name, row.setting ? el("span", "setting", row.setting) : null)
        name.scope = "row"
        return el("tr", "", name, ...row.cells.flatMap((cell) => [el("td", "", cell.value, interval(cell.interval)), el("td", "document", cell.document)]))
      })
      return el("div", table.columns.length > 1 ? "wide many" : "wide", el("table", "", el("caption", "", el("span", "", table.title)), el("thead", "", head), el("tbody", "", ...rows)))
    }))
  }
  const draw_empty = () => {
    empty.hidden = !facts.empty
    empty.textContent = facts.empty
    faults.hidden = facts.faults.length === 0
    faults.replaceChildren(...facts.faults.map((text) => el("li", "", text)))
  }
  const draw_chart = () => { caption.textContent = facts.chart; chart.setAttribute("aria-label", `${say.chart}, ${facts.chart}`) }
  const drawers = {table: draw_table, about: draw_about, ablations: draw_ablations, empty: draw_empty, faults: draw_empty, chart: draw_chart}
  on_news(model, facts, (news) => {
    for (const name of Object.keys(news)) { drawers[name]?.() }
  })
  for (const name of Object.keys(facts)) { drawers[name]() }
  model.send_msg({ready: true})
  return root
}
