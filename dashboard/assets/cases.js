// Case studies: the list on the left; the chosen case with its text, maps, series and scores.
export function render({model}) {
  const say = model.strings
  const facts = {chosen: "", head: {}, story: "", models: [], pair: [], shots: [], value_bar: null, difference_bar: null,
                 table: "", flux_table: "", flux: null, faults: [], empty: {text: "", months: []}, links: {}, progress: ""}
  const figures = model.get_child("figures")
  const root = el("div", "cases")

  // The list
  const list = el("ul", "list")
  for (const entry of model.cases) {
    const button = el("button", "pick", el("span", "name", entry.title), el("span", "sub", entry.dates), el("span", "sub", entry.kind))
    button.dataset.case = entry.key
    button.addEventListener("click", () => model.send_msg({case: entry.key}))
    list.append(el("li", "", button))
  }
  const side = el("nav", "side", list)
  side.setAttribute("aria-label", say.list)

  // Title, text and where to go from here
  const title = el("h2", "title"), meta = el("p", "meta"), story = el("p", "story"), faults = el("ul", "faults")
  const links = ["explore", "compare", "oceans"].map((page) => {
    const link = el("a", `go ${page}`, say[page])
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) { return }
      event.preventDefault()
      model.send_msg({go: page})
    })
    return link
  })
  const head = el("header", "head", el("div", "words", title, meta, story, faults), el("div", "links", ...links))
  head.setAttribute("aria-live", "polite")

  // What to do where the data lack a month
  const empty_text = el("p", ""), empty_months = el("div", "months")
  const empty = el("section", "empty", empty_text, empty_months)

  // Maps, chart, table
  const panel = (figure, role) => {
    const title = el("h3", "name"), note = el("span", "note"), when = el("p", "when")
    const map = el("div", "map", figure)
    const node = el("figure", "panel", el("div", "heading", el("div", "row", title, note), when), map)
    node.dataset.role = role
    return {node, title, note, when}
  }
  const pair = ["truth", "model"].map((role, n) => panel(figures[n], role))
  const shots = [0, 1, 2, 3].map((n) => panel(figures[2 + n], `moment${n}`))
  shots.forEach((shot, n) => {
    const button = el("button", "show", say.show)
    button.addEventListener("click", () => model.send_msg({moment: n}))
    shot.node.querySelector(".row").append(button)
  })
  const bars = {value: el("div", "colourbar value"), difference: el("div", "colourbar difference")}
  const chips = el("div", "chips")
  chips.setAttribute("role", "group")
  chips.setAttribute("aria-label", say.series)
  const progress = el("p", "progress")
  progress.setAttribute("role", "status")
  const chart = el("section", "chart", el("h3", "name", say.series), chips, el("div", "plot", figures[6]), progress)
  const flux_title = el("h3", "name"), flux_fault = el("p", "fault"), flux_plot = el("div", "plot", figures[7])
  const flux = el("section", "chart flux", flux_title, flux_fault, flux_plot)
  const numbers = el("section", "numbers")
  const body = el("div", "body",
    el("div", "left", el("div", "now", ...pair.map((one) => one.node), bars.value), flux),
    chart,
    el("div", "shots", el("div", "row-of-maps", ...shots.map((one) => one.node)), bars.difference),
    numbers)
  root.append(side, el("div", "case", head, empty, body))

  const draw_chosen = () => list.querySelectorAll("button").forEach((button) => {
    if (button.dataset.case === facts.chosen) { button.setAttribute("aria-current", "true") } else { button.removeAttribute("aria-current") }
  })
  const draw_head = () => { title.textContent = facts.head.title ?? ""; meta.textContent = facts.head.meta ?? ""; root.classList.toggle("globe", facts.head.shape === "globe") }
  const draw_story = () => {
    story.textContent = facts.story
    story.hidden = !facts.story
    faults.replaceChildren(...facts.faults.map((text) => el("li", "", text)))
    faults.hidden = facts.faults.length === 0
  }
  const draw_links = () => links.forEach((link, n) => {
    const address = facts.links[["explore", "compare", "oceans"][n]]
    link.hidden = !address
    link.href = address ?? "#"
  })
  const draw_empty = () => {
    const nothing = facts.empty.text !== ""
    empty.hidden = !nothing
    body.hidden = nothing
    story.hidden = nothing || !facts.story
    head.querySelector(".links").hidden = nothing
    empty_text.textContent = facts.empty.text
    empty_months.replaceChildren(...facts.empty.months.map((month) => {
      if (month.making) { return el("p", "making", month.wait) }
      const button = el("button", "make", month.label)
      button.addEventListener("click", () => model.send_msg({month: month.key}))
      return button
    }))
  }
  const draw_panels = (panels, texts) => panels.forEach((one, n) => {
    const text = texts[n]
    one.node.hidden = !text
    if (!text) { return }
    one.title.textContent = text.title
    one.note.textContent = text.note
    one.when.textContent = text.when
    one.node.classList.toggle("waiting", Boolean(text.waiting))
    one.node.setAttribute("aria-label", `${text.title}, ${text.when}`)
  })
  const draw_progress = () => { progress.textContent = facts.progress }
  const draw_table = () => { numbers.innerHTML = facts.table + facts.flux_table }  // made and escaped by the server
  const draw_flux = () => {
    flux.hidden = !facts.flux
    flux_title.textContent = facts.flux?.title ?? ""
    flux_fault.textContent = facts.flux?.fault ?? ""
    flux_plot.hidden = Boolean(facts.flux?.fault)
  }
  const drawers = [[["chosen"], draw_chosen], [["head"], draw_head], [["story", "faults"], draw_story], [["links"], draw_links],
    [["pair"], () => draw_panels(pair, facts.pair)], [["shots"], () => draw_panels(shots, facts.shots)],
    [["value_bar"], () => draw_colour_bar(bars.value, facts.value_bar)],
    [["difference_bar"], () => draw_colour_bar(bars.difference, facts.difference_bar)],
    [["models"], () => draw_chips(chips, facts.models, (name) => model.send_msg({model: name}), el("span", "truth", say.truth))], [["progress"], draw_progress], [["table", "flux_table"], draw_table], [["flux"], draw_flux], [["empty", "story"], draw_empty]]
  const draw = (news) => drawers.forEach(([names, drawer]) => { if (names.some((name) => name in news)) { drawer() } })
  on_news(model, facts, draw)
  draw(facts)
  model.send_msg({ready: true})
  return root
}
