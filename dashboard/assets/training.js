// Training: the form, the table of jobs, curves, and what is known of the chosen job.
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) { node.addEventListener(name.slice(2), value) }
    else if (value === true) { node.setAttribute(name, "") }
    else if (value != null && value !== false) { node.setAttribute(name, value) }
  }
  node.append(...children.filter((child) => child != null))
  return node
}
const PARTS = [1, 2, 3, 4, 5]

export function render({model}) {
  const say = model.strings
  const send = (message) => model.send_msg(message)
  const facts = {form: [], errors: {}, check: null, estimate: null, rows: [], fault: "",
    chosen: [], current: "", log: "", map: null, settings: [], scores: ""}

  // The form
  const fields = new Map()
  const form = make("form", {class: "new", "aria-label": say.new, novalidate: true})
  const parts = new Map(PARTS.map((part) => [part, make("fieldset", {class: `part part-${part}`},
    make("legend", {}, say[`part_${part}`]))]))
  const check = make("p", {class: "check", role: "status"})
  const estimate = make("p", {class: "estimate", role: "status"})
  const measure = make("button", {type: "button", class: "measure", onclick: () => send({estimate: true})}, say.measure)
  const start = make("button", {type: "submit", class: "start primary"}, say.start)
  form.append(make("h2", {}, say.new), make("div", {class: "fields"}, ...parts.values()),
    make("div", {class: "send"}, check, estimate, measure, start))
  form.addEventListener("submit", (event) => { event.preventDefault(); send({start: true}) })

  const field = (entry) => {
    const id = `field-${entry.name}`
    const held = {options: "", typing: false}
    const input = entry.kind === "select"
      ? make("select", {id, name: entry.name})
      : make("input", {id, name: entry.name, type: "text", autocomplete: "off", spellcheck: "false",
          inputmode: entry.kind === "number" ? "decimal" : null})
    const error = make("span", {class: "error", id: `${id}-error`})
    input.setAttribute("aria-describedby", `${id}-error`)
    input.addEventListener("input", () => { held.typing = true })
    input.addEventListener("change", () => {
      held.typing = false
      send({set: entry.name, value: input.value})
    })
    const box = make("div", {class: `field ${entry.kind}`, "data-field": entry.name, title: entry.hint},
      make("label", {for: id}, entry.label), input, error)
    parts.get(entry.part).append(box)
    Object.assign(held, {box, input, error})
    fields.set(entry.name, held)
    return held
  }
  const draw_form = () => {
    for (const entry of facts.form) {
      const held = fields.get(entry.name) ?? field(entry)
      const wrong = facts.errors[entry.name]
      if (entry.kind === "select") {
        const options = JSON.stringify(entry.options)
        if (options !== held.options) {
          held.options = options
          held.input.replaceChildren(...entry.options.map(([value, text]) => make("option", {value}, text)))
        }
      }
      // What is being typed stays; so does what does not fit, with the reason below it.
      if (!wrong && !held.typing && held.input.value !== String(entry.value)) { held.input.value = entry.value }
      held.error.textContent = wrong ?? ""
      held.input.toggleAttribute("aria-invalid", Boolean(wrong))
      held.input.placeholder = entry.usual ?? ""
      held.box.hidden = entry.shown === false
    }
    start.disabled = measure.disabled = Object.keys(facts.errors).length > 0
  }
  const draw_note = (node, note) => {
    node.className = `${node.classList[0]} ${note?.level ?? "none"}`
    node.replaceChildren(...(note ? [make("span", {}, note.text)] : []))
    if (note?.act) {
      node.append(make("button", {type: "button", class: "act", onclick: () => send({act: note.act})}, note.label))
    }
  }

  // The table of jobs: rows stay the same elements, so that the focus stays where it is.
  const rows = new Map()
  const body = make("tbody")
  const columns = ["draw", "job", "state", "progress", "step", "eta", "loss", "rmse", "actions"]
  const table = make("table", {class: "jobs"}, make("caption", {}, say.jobs),
    make("thead", {}, make("tr", {}, ...columns.map((key) => make("th", {scope: "col", class: key}, say[`column_${key}`])))), body)
  const empty = make("p", {class: "empty"}, say.none)
  const fault = make("p", {class: "fault", role: "alert"})
  const ids = () => facts.chosen.map((one) => one.id)
  const toggle = (id, on) => {
    const others = ids().filter((one) => one !== id)
    send({choose: on ? [...others, id] : others})
  }
  const row = (entry) => {
    const held = {asking: false, actions: ""}
    held.pick = make("input", {type: "checkbox", onchange: () => toggle(entry.id, held.pick.checked)})
    held.swatch = make("span", {class: "swatch", "aria-hidden": "true"})
    held.name = make("button", {type: "button", class: "name", onclick: () => toggle(entry.id, true)})
    held.id = make("small")
    held.state = make("span", {class: "state"})
    held.bar = make("progress", {max: 1, value: 0})
    held.share = make("span", {class: "share"})
    held.cells = Object.fromEntries(["step", "eta", "loss", "rmse"].map((key) =>
      [key, make("td", {class: key, "data-label": say[`column_${key}`]})]))
    held.buttons = make("td", {class: "actions"})
    held.message = make("small", {class: "message"})
    held.row = make("tr", {"data-job": entry.id},
      make("td", {class: "draw"}, held.pick, held.swatch),
      make("th", {scope: "row", class: "job"}, held.name, held.id),
      make("td", {class: "state"}, held.state), make("td", {class: "progress"}, held.bar, held.share, held.message),
      ...Object.values(held.cells), held.buttons)
    rows.set(entry.id, held)
    return held
  }
  const draw_buttons = (held, entry) => {
    const wanted = held.asking ? "asking" : entry.actions.join()
    if (wanted === held.actions) { return }
    held.actions = wanted
    if (held.asking) {
      const yes = make("button", {type: "button", class: "yes danger",
        onclick: () => { held.asking = false; send({act: "delete", id: entry.id}); draw_rows() }}, say.remove)
      held.buttons.replaceChildren(make("span", {class: "sure"}, say.sure), yes,
        make("button", {type: "button", class: "no", onclick: () => { held.asking = false; draw_rows() }}, say.keep))
      yes.focus()
      return
    }
    held.buttons.replaceChildren(...entry.actions.map((what) => make("button", {type: "button", class: what,
      "aria-label": `${say[what]}: ${entry.name}`,
      onclick: () => {
        if (what === "delete") { held.asking = true; draw_rows() } else { send({act: what, id: entry.id}) }
        if (what === "duplicate") { fields.get("title").input.focus(); form.scrollIntoView({block: "nearest"}) }
      }}, say[what])))
  }
  const draw_rows = () => {
    const there = new Set(facts.rows.map((entry) => entry.id))
    for (const [id, held] of rows) { if (!there.has(id)) { held.row.remove(); rows.delete(id) } }
    facts.rows.forEach((entry, place) => {
      const held = rows.get(entry.id) ?? row(entry)
      if (body.children[place] !== held.row) { body.insertBefore(held.row, body.children[place] ?? null) }
      const chosen = facts.chosen.find((one) => one.id === entry.id)
      held.pick.checked = Boolean(chosen)
      held.pick.setAttribute("aria-label", `${say.column_draw}: ${entry.name}`)
      held.swatch.innerHTML = chosen && entry.train
        ? `<svg viewBox="0 0 26 10"><path d="M1 5H25" stroke="${chosen.colour}" stroke-dasharray="${chosen.dash}"/></svg>` : ""
      held.name.textContent = entry.name
      held.id.textContent = `${entry.kind} · ${entry.id}`
      held.state.textContent = entry.label
      held.state.dataset.state = entry.state
      held.row.dataset.state = entry.state
      held.row.toggleAttribute("aria-current", entry.id === facts.current)
      held.bar.value = entry.progress
      held.bar.setAttribute("aria-label", `${say.column_progress}: ${entry.name}`)
      held.share.textContent = `${Math.floor(entry.progress * 100)} %`
      held.message.textContent = entry.message
      held.message.title = entry.message
      for (const [key, cell] of Object.entries(held.cells)) { cell.textContent = entry[key] }
      if (entry.epoch) { held.cells.step.append(make("small", {class: "epoch"}, entry.epoch)) }
      draw_buttons(held, entry)
    })
    empty.hidden = facts.rows.length > 0
    table.hidden = facts.rows.length === 0
    fault.textContent = facts.fault
    fault.hidden = facts.fault === ""
  }

  // Curves
  const curves = make("div", {class: "curves"}, ...model.get_child("figures").map((figure) => make("div", {class: "curve"}, figure)))

  // The validation map: cells on a plain canvas, longitude across, latitude up.
  const kinds = ["truth", "model", "difference"]
  const maps = Object.fromEntries(kinds.map((kind) => {
    const canvas = make("canvas", {role: "img", "aria-label": say[`map_${kind}`]})
    const value = make("output", {class: "value"})
    const scale = make("div", {class: "scale"}, make("span"), make("i"), make("span"))
    return [kind, {canvas, value, scale, figure: make("figure", {"data-map": kind},
      make("figcaption", {}, say[`map_${kind}`], value), canvas, scale)}]
  }))
  const caption = make("p", {class: "caption"})
  const field_box = make("section", {class: "field-maps", "aria-label": say.map}, make("h3", {}, say.map), caption,
    make("div", {class: "maps"}, ...kinds.map((kind) => maps[kind].figure)))
  const unpack = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
    return new Int16Array(bytes.buffer)
  }
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim() || "#000"
  const draw_map = () => {
    field_box.hidden = facts.map === null
    if (facts.map === null) { return }
    const {lat, lon, low, high, spread, step, fields, unit} = facts.map
    caption.textContent = `${facts.map.caption} · ${facts.map.rmse}`
    const height = lat.length - 1, width = lon.length - 1
    for (const kind of kinds) {
      const {canvas, value, scale} = maps[kind]
      const difference = kind === "difference"
      const [from, to] = difference ? [-spread, spread] : [low, high]
      const colours = model.palettes[difference ? "diverging" : "sequential"]
      const values = unpack(fields[kind]), base = difference ? 0 : facts.map.base
      const cells = new OffscreenCanvas(width, height), brush = cells.getContext("2d")
      const pixels = brush.createImageData(width, height)
      for (let j = 0; j < height; j++) {
        for (let i = 0; i < width; i++) {
          const v = base + step * values[(height - 1 - j) * width + i]
          const share = Math.min(Math.max((v - from) / (to - from), 0), 1)
          const hex = parseInt(colours[Math.round(share * (colours.length - 1))].slice(1), 16)
          pixels.data.set([hex >> 16, (hex >> 8) & 255, hex & 255, 255], 4 * (j * width + i))
        }
      }
      brush.putImageData(pixels, 0, 0)
      canvas.width = 720
      canvas.height = Math.round(720 * (lat[height] - lat[0]) / (lon[width] - lon[0]))
      const pen = canvas.getContext("2d")
      pen.imageSmoothingEnabled = false
      pen.drawImage(cells, 0, 0, canvas.width, canvas.height)
      pen.strokeStyle = "rgb(16 22 28 / .8)"
      pen.lineWidth = 1.2
      const x = (degrees) => ((degrees - lon[0] + 360) % 360) / (lon[width] - lon[0]) * canvas.width
      const y = (degrees) => (lat[height] - degrees) / (lat[height] - lat[0]) * canvas.height
      pen.beginPath()
      for (const line of model.coast) {
        for (let k = 0; k < line.length; k += 2) {
          const far = k === 0 || Math.abs(x(line[k]) - x(line[k - 2])) > canvas.width / 2
          pen[far ? "moveTo" : "lineTo"](x(line[k]), y(line[k + 1]))
        }
      }
      pen.stroke()
      const write = (v) => `${difference && v > 0 ? "+" : ""}${v.toFixed(0)}`.replace("-", "−")
      scale.children[0].textContent = `${write(from)}`
      scale.children[2].textContent = `${write(to)} ${unit}`
      scale.children[1].style.background = `linear-gradient(90deg, ${colours.filter((_, n) => n % 16 === 0).join()})`
      canvas.onpointermove = (event) => {
        const box = canvas.getBoundingClientRect()
        const i = Math.min(width - 1, Math.floor((event.clientX - box.left) / box.width * width))
        const j = Math.min(height - 1, Math.floor((event.clientY - box.top) / box.height * height))
        const v = base + step * values[(height - 1 - j) * width + i]
        const north = (lat[height - 1 - j] + lat[height - j]) / 2, east = (lon[i] + lon[i + 1]) / 2
        value.textContent = `${Math.abs(north).toFixed(1)}°${north < 0 ? "S" : "N"} ${Math.abs(east).toFixed(1)}°${east < 0 ? "W" : "E"} `
          + `${difference && v > 0 ? "+" : ""}${v.toFixed(2)} ${unit}`.replace("-", "−")
      }
      canvas.onpointerleave = () => { value.textContent = "" }
    }
  }

  // Log, settings, scores
  const log = make("pre", {class: "log", tabindex: 0, "aria-label": say.log})
  const settings = make("dl", {class: "settings"})
  const scores = make("pre", {class: "scores", tabindex: 0, "aria-label": say.scores})
  const log_box = make("details", {open: true}, make("summary", {}, say.log), log)
  const settings_box = make("details", {}, make("summary", {}, say.settings), settings)
  const scores_box = make("details", {open: true}, make("summary", {}, say.scores), scores)
  const about = make("h2", {class: "about"})
  const detail = make("section", {class: "detail"}, about, curves, field_box, scores_box, log_box, settings_box)
  const draw_detail = () => {
    const entry = facts.rows.find((one) => one.id === facts.current)
    detail.hidden = facts.current === ""
    about.textContent = entry ? `${entry.name} · ${entry.id}` : facts.current
    curves.hidden = !facts.rows.some((one) => one.train && ids().includes(one.id))
    const end = log.scrollHeight - log.scrollTop - log.clientHeight < 30
    log.textContent = facts.log
    if (end) { log.scrollTop = log.scrollHeight }
    scores.textContent = facts.scores
    scores_box.hidden = facts.scores === ""
    settings.replaceChildren(...facts.settings.flatMap(([key, value]) => [make("dt", {}, key), make("dd", {}, value)]))
  }

  const root = make("div", {class: "training"}, form,
    make("div", {class: "work"}, make("section", {class: "list"}, fault, table, empty), detail))
  const draw = () => {
    draw_form(); draw_note(check, facts.check); draw_note(estimate, facts.estimate)
    draw_rows(); draw_detail(); draw_map()
  }
  on_news(model, facts, (news) => {
    if ("form" in news || "errors" in news) { draw_form() }
    if ("check" in news) { draw_note(check, facts.check) }
    if ("estimate" in news) { draw_note(estimate, facts.estimate) }
    if ("rows" in news || "chosen" in news || "current" in news || "fault" in news) { draw_rows() }
    if (["rows", "chosen", "current", "log", "settings", "scores"].some((key) => key in news)) { draw_detail() }
    if ("map" in news) { draw_map() }
  })
  send({ready: true})
  draw()
  return root
}
