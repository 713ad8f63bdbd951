// Oceans: the map, and beside it panels with charts, tables and notes.
export function render({model}) {
  const say = model.strings
  const facts = {empty: "", panel: "", head: {}, models: [], tables: [], notes: [], choices: {}, fault: "", bare: false, progress: ""}
  const send = (message) => model.send_msg(message)
  const empty = el("section", "empty")
  const progress = el("p", "progress"), fault = el("p", "fault")
  progress.setAttribute("role", "status")
  fault.setAttribute("role", "status")

  // One tab a panel; the arrow keys go through them.
  const tabs = el("div", "tabs", ...model.panels.map((panel) => {
    const tab = el("button", "tab", panel.label)
    tab.dataset.panel = panel.key
    tab.setAttribute("role", "tab")
    tab.setAttribute("aria-controls", "panel")
    tab.addEventListener("click", () => send({panel: panel.key}))
    return tab
  }))
  tabs.setAttribute("role", "tablist")
  tabs.setAttribute("aria-label", say.panels)
  tabs.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key]
    if (!step) { return }
    event.preventDefault()
    const all = [...tabs.children], now = all.findIndex((tab) => tab.dataset.panel === facts.panel)
    const next = all[(now + step + all.length) % all.length]
    next.focus()
    send({panel: next.dataset.panel})
  })

  const title = el("h2", "title"), meta = el("p", "when"), chips = el("div", "chips"), choices = el("div", "choices")
  chips.setAttribute("role", "group")
  chips.setAttribute("aria-label", say.models)
  const figures = model.get_child("figures")
  let used = 0
  const groups = model.panels.map((panel) => {
    const group = el("div", "charts", ...panel.titles.map((text, n) => {
      const plot = el("div", "plot", figures[used + n])
      plot.style.height = `${panel.heights[n] / 13}em`
      const chart = el("figure", "chart", el("h3", "", text), plot)
      chart.dataset.chart = `${panel.key}-${n}`
      return chart
    }))
    used += panel.titles.length
    return [panel.key, group]
  })
  const tables = el("div", "tables"), notes = el("ul", "notes")
  const side = el("section", "side", el("header", "", title, meta), chips, choices, progress, fault,
    ...groups.map(([, group]) => group), tables, notes)
  side.id = "panel"
  side.setAttribute("role", "tabpanel")
  const whole = el("div", "whole", el("div", "left", model.get_child("map")), el("div", "right", tabs, side))
  const root = el("div", "oceans", empty, whole)

  const draw_panel = () => {
    for (const tab of tabs.children) {
      const on = tab.dataset.panel === facts.panel
      tab.setAttribute("aria-selected", on)
      tab.tabIndex = on ? 0 : -1
      if (on) { side.setAttribute("aria-label", tab.textContent) }
    }
    groups.forEach(([key, group]) => { group.hidden = key !== facts.panel || facts.bare })
    side.dataset.panel = facts.panel
  }
  const draw_head = () => { title.textContent = facts.head.title ?? ""; meta.textContent = facts.head.meta ?? "" }
  const draw_table = (table) => {
    const top = el("tr", "", el("th", ""), ...table.columns.map((text) => el("th", "", text)))
    top.querySelectorAll("th").forEach((cell) => { cell.scope = "col" })
    const grid = el("table", "", el("thead", "", top), el("tbody", "", ...table.rows.map((row) => {
      const name = el("th", ""), target = row.place ? {place: row.place} : row.reef ? {reef: row.reef} : null
      name.scope = "row"
      if (row.colour) { const key = el("span", "key"); key.style.background = row.colour; name.append(key) }
      if (target) {
        const button = el("button", "pick", row.label)
        button.dataset.pick = row.place ?? row.reef
        button.setAttribute("aria-pressed", Boolean(row.on))
        button.addEventListener("click", () => send(target))
        name.append(button)
      } else { name.append(row.label) }
      return el("tr", row.on ? "chosen" : "", name, ...row.cells.map((text) => el("td", "", text)))
    })))
    grid.setAttribute("aria-label", table.caption)
    return el("section", "numbers-of", el("h3", "", table.caption), el("div", "wide", grid))
  }
  const draw_tables = () => {
    const focused = root.getRootNode().activeElement?.dataset?.pick
    tables.replaceChildren(...facts.tables.map(draw_table))
    if (focused) { tables.querySelector(`[data-pick="${CSS.escape(focused)}"]`)?.focus({preventScroll: true}) }
  }
  const draw_notes = () => notes.replaceChildren(...facts.notes.map((text) => el("li", "", text)))
  const draw_choices = () => {
    const active = root.getRootNode().activeElement?.dataset ?? {}
    const kind = "phase" in active ? "phase" : "reach", focused = active[kind]
    const reach = facts.choices.reach ? ["month", "all"].map((key) => {
      const button = el("button", "choice", say[`reach_${key}`])
      button.dataset.reach = key
      button.setAttribute("aria-pressed", facts.choices.reach === key)
      button.addEventListener("click", () => send({reach: key}))
      return button
    }) : []
    const phases = (facts.choices.phases ?? []).map((key) => {
      const button = el("button", "choice", say[`mean_${key || "month"}`])
      button.dataset.phase = key
      button.setAttribute("aria-pressed", facts.choices.phase === key)
      button.addEventListener("click", () => send({phase: key}))
      return button
    })
    const label = phases.length ? [el("span", "label", say.on_the_map)] : []
    const clear = el("button", "choice clear", say.clear)
    clear.addEventListener("click", () => send({clear: "point"}))
    choices.replaceChildren(...label, ...phases, ...reach, ...(facts.choices.clear ? [clear] : []))
    if (focused !== undefined) { choices.querySelector(`[data-${kind}="${focused}"]`)?.focus() }
  }
  const draw_empty = () => { empty.hidden = !facts.empty; whole.hidden = Boolean(facts.empty); empty.textContent = facts.empty }
  const drawers = {panel: draw_panel, bare: draw_panel, head: draw_head, tables: draw_tables, notes: draw_notes, choices: draw_choices,
    empty: draw_empty, fault: () => { fault.textContent = facts.fault }, progress: () => { progress.textContent = facts.progress },
    models: () => draw_chips(chips, facts.models, (name) => send({model: name}))}
  const draw = (news) => Object.keys(news).forEach((name) => drawers[name]?.())
  on_news(model, facts, draw)
  draw(facts)
  send({ready: true})
  return root
}
