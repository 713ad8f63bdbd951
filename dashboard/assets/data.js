// Data: a card a store with its coverage and checks, and a card a data set that can be added.
export function render({model}) {
  const say = model.strings
  const facts = {stores: null, catalog: [], checks: {}, faults: [], open: ""}
  const faults = el("ul", "faults"), stores = el("section", "stores"), catalog = el("section", "catalog")
  const root = el("div", "data", faults, el("h2", "", say.stores), stores, el("h2", "", say.catalog), el("p", "hint", say.catalog_hint), catalog)

  const badge = (simulated) => simulated == null ? null : el("span", simulated ? "badge simulated" : "badge real", simulated ? say.simulated : say.real)
  const list = (pairs) => el("dl", "", ...pairs.flatMap(([name, text]) => {
    const value = el("dd", "", text)
    if (/^https?:/.test(text)) { value.replaceChildren(Object.assign(el("a", "", text), {href: text, rel: "noreferrer noopener", target: "_blank"})) }
    return [el("dt", "", name), value]
  }))
  const table = (head, rows) => {
    const cells = (tag, row) => row.map((text) => el(tag, "", text))
    const top = el("tr", "", ...cells("th", head))
    top.querySelectorAll("th").forEach((cell) => { cell.scope = "col" })
    return el("div", "wide", el("table", "", el("thead", "", top), el("tbody", "", ...rows.map((row) => el("tr", "", ...cells("td", row))))))
  }
  const fold = (title, ...children) => el("details", "fold", el("summary", "", title), ...children)

  // Years down, months across: how much of each month is there.
  const coverage = (years) => {
    const grid = el("div", "coverage")
    grid.setAttribute("role", "img")
    const whole = years.reduce((sum, [, shares]) => sum + shares.filter((share) => share === 1).length, 0)
    grid.setAttribute("aria-label", `${say.coverage}: ${say.whole.replace("{n}", whole)}`)
    for (const [year, shares] of years) {
      grid.append(el("span", "year", year))
      shares.forEach((share, n) => {
        const cell = el("span", share < 0 ? "month outside" : share === 0 ? "month none" : share < 1 ? "month part" : "month whole")
        cell.title = share < 0 ? "" : `${year}-${String(n + 1).padStart(2, "0")}: ${Math.round(100 * share)}%`
        grid.append(cell)
      })
    }
    return grid
  }
  const check = (path, n) => {
    const state = facts.checks[path]
    const button = el("button", "check", state ? say.check_again : say.check)
    button.dataset.path = path
    button.disabled = state?.state === "running"
    button.addEventListener("click", () => model.send_msg({check: n}))
    const words = !state ? say.unchecked : state.state === "running" ? `${say.checking} ${state.share}` : state.state === "sound" ? say.sound : say.faulty
    const result = el("p", `result ${state?.state ?? ""}`, words)
    result.setAttribute("role", "status")
    // What the check itself says is in English, as on the command line.
    const lines = (className, texts) => {
      if (!texts?.length) { return null }
      const list = el("ul", className, ...texts.map((text) => el("li", "", text)))
      list.lang = "en"
      return list
    }
    return el("div", "checks", button, result, state?.seen ? el("p", "hint", state.seen) : null, lines("faults", state?.faults),
      state?.missing ? el("p", "hint", `${say.missing}: ${state.missing}`) : null,
      state?.years?.length ? fold(say.beside_noaa, table([say.year, say.months, say.ocean_mean, say.noaa, say.difference], state.years)) : null,
      lines("notes", state?.notes))
  }
  const draw_stores = () => {
    if (facts.stores == null) { stores.replaceChildren(el("p", "hint", say.looking)); return }
    const focused = root.getRootNode().activeElement?.dataset?.path
    let n = 0
    stores.replaceChildren(...facts.stores.map((store) => {
      const head = el("header", "", el("h3", "", store.title), store.current ? el("span", "badge current", say.current) : null, badge(store.simulated))
      if (store.fault) { n++; return el("article", "card", head, el("p", "result faulty", store.fault)) }
      if (!store.facts) { return el("article", "card", head, el("p", "hint", say.no_store)) }
      return el("article", "card", head, el("div", "halves",
        el("div", "", list(store.facts), check(store.path, n++)),
        el("div", "", el("h4", "", say.coverage), coverage(store.years),
          el("p", "legend", el("span", "month whole"), say.all_frames, el("span", "month part"), say.some_frames, el("span", "month none"), say.no_frames),
          store.gaps ? el("p", "hint", `${say.gaps}: ${store.gaps}`) : null,
          fold(say.variables, table([say.variable, say.name, say.units], store.variables),
            store.absent ? el("p", "hint", `${say.absent}: ${store.absent}`) : null))))
    }))
    if (focused) { stores.querySelector(`.check[data-path="${CSS.escape(focused)}"]`)?.focus() }
  }
  const draw_catalog = () => catalog.replaceChildren(...facts.catalog.map((entry) => {
    const commands = entry.commands.map((line) => {
      const copy = el("button", "copy", say.copy)
      copy.setAttribute("aria-label", `${say.copy}: ${line}`)
      copy.addEventListener("click", async () => {
        try { await navigator.clipboard.writeText(line); copy.textContent = say.copied } catch { copy.textContent = say.not_copied }
      })
      return el("li", "", el("code", "", line), copy)
    })
    const card = el("details", "card entry", el("summary", "", el("h3", "", entry.title), el("span", "role", entry.role),
        entry.included ? el("span", "badge current", say.included) : null, badge(entry.simulated)),
      el("p", "text", entry.text), entry.agreement ? el("p", "result faulty", say.agreement) : null, list(entry.facts),
      entry.obtain.length || commands.length ? el("h4", "", say.obtain) : null,
      el("ol", "steps", ...entry.obtain.map((text) => el("li", "", text))),
      commands.length ? el("ul", "commands", ...commands) : null,
      entry.variables.length ? fold(say.variables, table([say.original, say.in_store, say.level], entry.variables)) : null)
    card.dataset.entry = entry.key
    card.open = entry.key === facts.open
    card.querySelector("summary").addEventListener("click", () => model.send_msg({entry: card.open ? "" : entry.key}))
    return card
  }))
  const draw_open = () => catalog.querySelectorAll(".entry").forEach((card) => { if (card.dataset.entry === facts.open) { card.open = true } })
  const draw_faults = () => { faults.hidden = !facts.faults.length; faults.replaceChildren(...facts.faults.map((text) => el("li", "", text))) }
  const drawers = {stores: draw_stores, checks: draw_stores, catalog: draw_catalog, open: draw_open, faults: draw_faults}
  on_news(model, facts, (news) => {
    for (const name of Object.keys(news)) { drawers[name]?.() }
  })
  draw_stores(); draw_catalog(); draw_faults()
  model.send_msg({ready: true})
  return root
}
