// The frame of every page: rail, tool bar, map, inspector, time bar, notices and address.
const ICONS = {
  explore: "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20Zm0 0c3 3 4 6.500 4 10s-1 7-4 10c-3-3-4-6.500-4-10s1-7 4-10ZM2.500 9h19M2.500 15h19",
  compare: "M3 4h7.500v16H3zM13.500 4H21v16h-7.500zM5.500 15l2-3 1.500 2M16 15l2-3 1.500 2",
  cases: "M5 21V4c4-2.500 9 2.500 14 0v10c-5 2.500-10-2.500-14 0",
  oceans: "M2 8c2.500-3 4.500-3 7 0s4.500 3 7 0 4.500-3 6-1M2 13c2.500-3 4.500-3 7 0s4.500 3 7 0 4.500-3 6-1M2 18c2.500-3 4.500-3 7 0s4.500 3 7 0 4.500-3 6-1",
  stations: "M12 21v-9M12 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM8 21h8M7.500 14.500a6.400 6.400 0 0 1 0-9M16.500 5.500a6.400 6.400 0 0 1 0 9M4.700 17a10 10 0 0 1 0-14M19.300 3a10 10 0 0 1 0 14",
  benchmarks: "M3 21h18M6 21V11M11 21V4M16 21v-7M20 21V8",
  training: "M3 3v18h18M6 7c2 8 5 9.500 14 10M14 4l6 3-6 3Z",
  data: "M12 8c4.400 0 8-1.300 8-3s-3.600-3-8-3-8 1.300-8 3 3.600 3 8 3ZM4 5v14c0 1.700 3.600 3 8 3s8-1.300 8-3V5M4 12c0 1.700 3.600 3 8 3s8-1.300 8-3",
  theme: "M12 3a9 9 0 1 0 9 9c-5 1.500-10-4-9-9Z",
  drawer: "M4 6h10M18 6h2M4 12h2M10 12h10M4 18h8M16 18h4M16 4v4M8 10v4M14 16v4",
  inspector: "M3 19h18M4 16l4-6 4 4 4-9 4 7",
  close: "M6 6l12 12M18 6L6 18",
  export: "M12 3v12M7 10l5 5 5-5M4 17v4h16v-4",
  present: "M3 4h18v12H3zM8 21l4-5 4 5",
}

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) { node.addEventListener(name.slice(2), value) }
    else if (value != null) { node.setAttribute(name, value) }
  }
  node.append(...children.filter((child) => child != null))
  return node
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 24 24")
  svg.setAttribute("aria-hidden", "true")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  path.setAttribute("d", ICONS[name] ?? ICONS.explore)
  svg.append(path)
  return svg
}

// Bokeh lays out a whole page whenever one of its parts has another size, every chart each time.
// The parts of this one are placed by style sheets: a chart need only lay out itself, and for the
// rest once a frame is enough.
function lay_out_alone() {
  const {PlotView} = Bokeh.require("models/plots/plot_canvas")
  PlotView.prototype.compute_layout = function () {
    this.measure_layout()
    this.update_bbox()
    this._compute_layout()
    this.after_layout()
    this._layout_computed = true
  }
}
function lay_out_once(view) {
  const compute = view.compute_layout.bind(view)
  let due = ""
  const run = () => {
    const restyle = due === "style"
    due = ""
    if (view.is_destroyed) { return }
    if (restyle) { view.update_layout() }
    compute()
  }
  const later = (what) => {
    if (!due) { requestAnimationFrame(run) }
    if (due !== "style") { due = what }
  }
  view.compute_layout = () => later("size")
  view.invalidate_layout = () => later("style")
}

// Bokeh takes the letters of axes from properties of the page, which must be lengths for it.
function size_axes(root) {
  for (const [part, share] of [["major-label", 0.85], ["axis-label", 0.88], ["label", 0.85]]) {
    const name = `--bk-${part}-text-font-size`
    try {
      CSS.registerProperty?.({name, syntax: "<length>", inherits: true, initialValue: "11px"})
    } catch { /* another visit of this tab has done so */ }
    if (CSS.registerProperty) { root.style.setProperty(name, `calc(var(--size) * ${share})`) }
  }
}

// Dots grow with the letters of the page; Bokeh knows their size in pixels alone.
function grow_dots() {
  const {MarkerView} = Bokeh.require("models/glyphs/marker")
  MarkerView.prototype.paint_as_told ??= MarkerView.prototype._paint
  MarkerView.prototype._paint = function (pen, indices, data) {
    const size = data?.size ?? this.size, {el: place} = this.renderer.plot_view
    const letters = Math.max(1, parseFloat(getComputedStyle(place.parentElement ?? place).fontSize) / 13 || 1)
    this.paint_as_told(pen, indices, {...data, size: {get: (n) => letters * size.get(n)}})
  }
}

// What lies behind the list of choices that is open; a click there closes it.
function behind_list(root) {
  for (const node of root.querySelectorAll("*")) {
    const found = node.matches(".MuiBackdrop-root") ? node : node.shadowRoot && behind_list(node.shadowRoot)
    if (found) { return found }
  }
  return null
}

export function render({model, view, el: host}) {
  lay_out_alone()
  grow_dots()
  for (const part of [view, view.parent]) { lay_out_once(part) }
  const say = model.strings
  const facts = {title: "co2net", busy: "", notices: [], address: "", reload: 0}
  const root = el("div", {class: "app", lang: model.language})

  // Rail
  const links = el("div", {class: "links"})
  for (const page of model.pages) {
    const link = el("a", {
      href: `?page=${page.key}`, "data-page": page.key, title: page.label,
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) { return }
        event.preventDefault()
        model.page = page.key
      },
    }, icon(page.key), el("span", {}, page.label))
    links.append(link)
  }
  const language = el("button", {
    class: "language", title: say.language, "aria-label": say.language,
    onclick: () => { model.language = model.language === "en" ? "zh" : "en" },
  }, model.language === "en" ? "中文" : "EN")
  const theme = el("button", {
    class: "theme", title: say.theme, "aria-label": say.theme,
    onclick: () => { model.scheme = model.scheme === "dark" ? "light" : "dark" },
  }, icon("theme"))
  const present = el("button", {
    class: "present", title: say.present, "aria-label": say.present, onclick: () => { start() },
  }, icon("present"))
  const rail = el("nav", {class: "rail", "aria-label": say.pages},
    el("a", {class: "brand", href: "?", title: "co2net", "aria-label": "co2net"}, "CO", el("sub", {}, "2"), el("b", {}, "net")),
    links, el("div", {class: "spring"}), present, language, theme)

  // Tool bar
  const heading = el("h1", {})
  const tools = el("div", {class: "tools"}, model.get_child("toolbar"))
  const badge = el("span", {class: "badge", title: say.simulated_hint}, say.simulated)
  const open_drawer = el("button", {
    class: "toggle drawer-toggle", title: say.controls, "aria-label": say.controls,
    onclick: () => { model.drawer_open = !model.drawer_open },
  }, icon("drawer"))
  const menu = el("details", {class: "export"},
    el("summary", {class: "toggle", title: say.export, "aria-label": say.export, role: "button"}, icon("export")), el("ul"))
  const open_inspector = el("button", {
    class: "toggle inspector-toggle", title: say.inspector, "aria-label": say.inspector,
    onclick: () => { model.inspector_open = !model.inspector_open },
  }, icon("inspector"))
  const bar = el("header", {class: "top"}, open_drawer, heading, tools, badge, menu, open_inspector)

  // Places for the children
  const drawer = el("aside", {class: "drawer", "aria-label": say.controls},
    el("div", {class: "drawer-head"}, el("h2", {}, say.controls),
      el("button", {class: "toggle", title: say.close, "aria-label": say.close,
        onclick: () => { model.drawer_open = false }}, icon("close"))),
    model.get_child("drawer"))
  const board = el("div", {class: "board"}, model.get_child("board"))
  const progress = el("div", {class: "progress", role: "progressbar", "aria-label": say.busy})
  const progress_text = el("div", {class: "progress-text", role: "status"})
  const notices = el("div", {class: "notices", role: "alert", "aria-live": "assertive"})
  const main = el("main", {class: "stage"}, bar, notices, drawer, board, progress, progress_text)
  const inspector = el("aside", {class: "inspector", "aria-label": say.inspector}, model.get_child("inspector"))
  const time = el("footer", {class: "time"}, model.get_child("bar"))
  const lost = el("div", {class: "lost", role: "alert"})
  root.append(rail, main, inspector, time, lost)
  size_axes(root)
  watch_connection(view.model.document, lost, say)

  // Exports: the page's own address, asked of the server as a file.
  const save = async (what, format, button) => {
    button.setAttribute("aria-busy", "true")
    try {
      const answer = await fetch(`export/${what}.${format}${window.location.search}`)
      if (!answer.ok) { throw new Error(answer.status === 400 ? await answer.text() : say.export_failed) }
      const name = /filename="(.+)"/.exec(answer.headers.get("Content-Disposition"))[1]
      const link = el("a", {href: URL.createObjectURL(await answer.blob()), download: name})
      link.click()
      setTimeout(() => URL.revokeObjectURL(link.href), 10000)
    } catch (error) {
      model.send_msg({complain: error.message})
    }
    button.removeAttribute("aria-busy")
  }
  const draw_exports = () => {
    menu.open = false
    menu.hidden = model.exports.length === 0
    menu.querySelector("ul").replaceChildren(...model.exports.map(({what, label, formats}) => el("li", {}, el("span", {}, label),
      ...formats.map((format) => {
        const text = format === "nc" ? "NetCDF" : format.toUpperCase()
        const button = el("button", {"aria-label": `${label}: ${text}`, onclick: () => save(what, format, button)}, text)
        return button
      }))))
  }

  // Presentation: the arrow keys go through the case studies.
  const start = () => {
    model.presenting = true
    document.documentElement.requestFullscreen?.().catch(() => {})
  }
  const stop = () => {
    model.presenting = false
    if (document.fullscreenElement) { document.exitFullscreen() }
  }
  const pressed = (event) => {
    // A list of which several can be chosen loses the focus with the entry that is taken.
    if (event.key === "Escape" && event.target === document.body) { behind_list(root)?.click() }
    if (!model.presenting) { return }
    if (event.key === "Escape") { stop() }
    const steps = {ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1}
    if (event.key in steps) { event.preventDefault(); model.send_msg({step: steps[event.key]}) }
  }
  const left = () => { if (!document.fullscreenElement && model.presenting) { stop() } }
  document.addEventListener("keydown", pressed)

  // The lists of the tool bar and the drawer open by themselves at a click only.
  root.addEventListener("keydown", (event) => {
    const [target] = event.composedPath()
    if (target.matches?.("[role=combobox][aria-haspopup]") && [" ", "Enter", "ArrowDown", "ArrowUp"].includes(event.key)) {
      event.preventDefault()
      target.click()
    }
  })
  document.addEventListener("fullscreenchange", left)

  const draw = () => {
    for (const link of links.children) {
      if (link.dataset.page === model.page) { link.setAttribute("aria-current", "page") }
      else { link.removeAttribute("aria-current") }
    }
    heading.textContent = model.pages.find((page) => page.key === model.page)?.label ?? ""
    badge.hidden = !model.simulated
    root.classList.toggle("drawer-open", model.drawer_open)
    root.classList.toggle("inspector-open", model.inspector_open)
    for (const part of ["bar", "inspector", "drawer"]) {
      root.classList.toggle(`no-${part}`, !model.furniture.includes(part))
    }
    open_drawer.setAttribute("aria-expanded", model.drawer_open)
    open_inspector.setAttribute("aria-expanded", model.inspector_open)
    drawer.inert = !model.drawer_open
    inspector.inert = !model.inspector_open
    root.dataset.page = model.page
    root.classList.toggle("presenting", model.presenting)
    root.classList.toggle("dark", model.scheme === "dark")
    document.documentElement.lang = model.language === "zh" ? "zh-CN" : "en"
  }
  const draw_busy = () => {
    root.classList.toggle("busy", facts.busy !== "")
    progress.setAttribute("aria-hidden", facts.busy === "")
    progress_text.textContent = facts.busy
  }
  const draw_notices = () => {
    notices.replaceChildren(...facts.notices.map((notice) => el("div", {class: `notice ${notice.level}`},
      el("span", {}, notice.text),
      notice.action ? el("button", {class: "act", onclick: () => model.send_msg({act: notice.action})}, notice.label) : null,
      el("button", {class: "toggle", title: say.close, "aria-label": say.close,
        onclick: () => model.send_msg({dismiss: notice.id})}, icon("close")))))
  }
  model.on(["page", "drawer_open", "inspector_open", "scheme", "furniture", "presenting"], draw)

  // The address: Python writes it, back and forward read it.
  let first = true
  const remember = () => {
    const url = `?${facts.address}`
    if (window.location.search !== url) {
      if (first || facts.replace) { window.history.replaceState({}, "", url) }
      else { window.history.pushState({}, "", url) }
    }
    first = false
  }
  const back = () => { model.send_msg({went: window.location.search}) }
  window.addEventListener("popstate", back)
  model.on("lifecycle:remove", () => {
    window.removeEventListener("popstate", back)
    document.removeEventListener("keydown", pressed)
    document.removeEventListener("fullscreenchange", left)
  })
  on_news(model, facts, (news) => {
    if ("title" in news) { document.title = facts.title }
    if ("busy" in news) { draw_busy() }
    if ("notices" in news) { draw_notices() }
    if ("address" in news) { remember() }
    if (news.reload) { window.location.reload() }
  })

  model.on("exports", draw_exports)
  draw(); draw_exports(); draw_busy(); draw_notices()
  model.send_msg({ready: true})
  return root
}
