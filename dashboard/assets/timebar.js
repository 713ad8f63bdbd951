// Time: play, step, speed, date, and the months that there are.
//
// The browser asks for one frame at a time and asks for the next only when the last one has been
// painted; frames that fell due in between are dropped. So nothing can queue up anywhere.
export function render({model}) {
  const say = model.strings
  const root = document.createElement("div")
  root.className = "timebar"
  root.innerHTML = `
    <div class="buttons">
      <button class="back"><svg viewBox="0 0 24 24"><path d="M17 6v12L9 12zM7 6v12" /></svg></button>
      <button class="play"><svg viewBox="0 0 24 24"><path class="go" d="M8 5v14l11-7z"/><path class="halt" d="M7 5v14M17 5v14"/></svg></button>
      <button class="forward"><svg viewBox="0 0 24 24"><path d="M7 6v12l8-6zM17 6v12" /></svg></button>
      <label class="speed"><select></select></label>
    </div>
    <div class="track">
      <div class="months"></div>
      <div class="slide"><div class="days" aria-hidden="true"></div><input type="range" step="1"></div>
    </div>
    <div class="when">
      <label class="case"><select></select></label>
      <label class="date"><input type="date"></label>
      <label class="hour"><select></select></label>
      <span class="zone">UTC</span>
    </div>`
  const find = (selector) => root.querySelector(selector)
  const back = find(".back"), play = find(".play"), forward = find(".forward")
  const speed = find(".speed select"), slider = find(".slide input"), months = find(".months")
  const days = find(".days"), date = find(".date input"), hour = find(".hour select")
  const jump = find(".case select")
  const label = (node, text) => { node.setAttribute("aria-label", text); node.title = text }
  label(back, say.back); label(forward, say.forward); label(speed, say.speed)
  label(date, say.date); label(hour, say.hour); label(jump, say.case)
  // The arrow keys of the slider are the slider's own, also while presenting.
  jump.addEventListener("change", () => {
    if (jump.value === "") { return }
    halt()
    model.send_msg({case: Number(jump.value)})
    jump.value = ""
  })
  slider.setAttribute("aria-label", say.frame)
  for (const fps of [2, 5, 10, 20]) { speed.append(new Option(`${fps} ${say.fps}`, fps)) }
  speed.value = model.fps

  const stamp = (frame) => new Date((model.first + frame * model.step) * 1000)
  const run_of = (frame) => model.runs.findIndex(([start, end]) => start <= frame && frame < end)
  const month_of = (frame) => stamp(frame).toISOString().slice(0, 7)
  const iso = (frame) => stamp(frame).toISOString()
  const day_format = new Intl.DateTimeFormat(model.locale, {timeZone: "UTC", day: "numeric", month: "short"})
  const month_format = new Intl.DateTimeFormat(model.locale, {timeZone: "UTC", month: "long", year: "numeric"})

  let frame = model.frame, asked = null, waiting = null, asked_at = 0
  let low = 0, high = 0

  function window_of(at) {
    // The slider spans the month of the frame, or what there is of it.
    const [start, end] = model.runs[run_of(at)] ?? [at, at + 1]
    const month = month_of(at)
    let a = at, b = at
    while (a > start && month_of(a - 1) === month) { a-- }
    while (b + 1 < end && month_of(b + 1) === month) { b++ }
    return [a, b]
  }
  function draw() {
    if (frame < low || frame > high || slider.max != high) {
      [low, high] = window_of(frame)
      slider.min = low; slider.max = high
      const marks = []
      for (let k = low; k <= high; k++) {
        const time = stamp(k)
        if (k > low && time.getUTCDate() === stamp(k - 1).getUTCDate()) { continue }
        const mark = document.createElement("span")
        mark.style.left = `${100 * (k - low) / Math.max(1, high - low)}%`
        const n = time.getUTCDate()
        if (n === 1 || n % 5 === 0) { mark.textContent = n === 1 ? day_format.format(time) : n; mark.className = "major" }
        marks.push(mark)
      }
      for (const one of model.cases) {
        if (one.last < low || one.first > high) { continue }
        const mark = document.createElement("span")
        const at = (k) => 100 * (Math.min(Math.max(k, low), high) - low) / Math.max(1, high - low)
        mark.className = "event"
        mark.style.left = `${at(one.first)}%`
        mark.style.width = `${at(one.last) - at(one.first)}%`
        mark.title = one.title
        marks.push(mark)
      }
      days.replaceChildren(...marks)
    }
    slider.value = frame
    slider.setAttribute("aria-valuetext", iso(frame).slice(0, 16).replace("T", " ") + " UTC")
    slider.style.setProperty("--at", `${100 * (frame - low) / Math.max(1, high - low)}%`)
    date.value = iso(frame).slice(0, 10)
    hour.value = iso(frame).slice(11, 16)
    for (const mark of months.querySelectorAll("button")) {
      mark.toggleAttribute("aria-current", mark.dataset.month === month_of(frame))
    }
  }
  function draw_months() {
    const cells = model.months.map((month) => {
      const mark = document.createElement("button")
      mark.className = month.state
      mark.dataset.month = month.key
      const when = month_format.format(new Date(month.key + "-15T00:00:00Z"))
      label(mark, `${when}: ${say[month.state]}`)
      if (month.key.endsWith("-01")) { mark.dataset.year = month.key.slice(0, 4) }
      mark.tabIndex = month.state === "available" ? 0 : -1
      mark.addEventListener("click", () => model.send_msg({month: month.key}))
      return mark
    })
    months.replaceChildren(...cells)
    const ends = model.first + (model.count - 1) * model.step
    date.min = iso(0).slice(0, 10)
    date.max = new Date(ends * 1000).toISOString().slice(0, 10)
    hour.replaceChildren()
    const per_day = Math.max(1, Math.round(86400 / model.step))
    for (let k = 0; k < Math.min(per_day, 24); k++) {
      const text = iso(k).slice(11, 16)
      hour.append(new Option(text, text))
    }
    jump.replaceChildren(new Option(say.case, ""), ...model.cases.map((one) =>
      new Option(`${one.title} (${iso(one.first).slice(0, 7)})`, one.first)))
    jump.parentNode.hidden = model.cases.length === 0
    low = high = -1
  }

  function ask(next) {
    frame = next
    draw()
    if (asked != null && performance.now() - asked_at < 20000) { waiting = next; return }
    asked = next; asked_at = performance.now()
    model.frame = next
  }
  function answered() {
    const [shown] = model.shown
    root.dataset.shown = shown
    // After the paint that follows this message.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      asked = null
      if (waiting != null && waiting !== shown) { const next = waiting; waiting = null; ask(next) }
      else { waiting = null; if (!model.playing && frame !== shown) { frame = shown; draw() } }
    }))
  }
  model.on("shown", answered)
  model.on("frame", () => { if (model.frame !== frame && asked == null) { frame = model.frame; draw() } })
  model.on(["months", "runs", "cases"], () => { draw_months(); draw() })

  // Along the frames that there are; from the last to the first.
  function along(from, count) {
    let n = run_of(from), at = from
    if (n < 0) { return model.runs.length ? model.runs[0][0] : from }
    at += count
    while (at >= model.runs[n][1]) { const over = at - model.runs[n][1]; n = (n + 1) % model.runs.length; at = model.runs[n][0] + over }
    while (at < model.runs[n][0]) { const under = model.runs[n][0] - at; n = (n - 1 + model.runs.length) % model.runs.length; at = model.runs[n][1] - under }
    return at
  }
  back.addEventListener("click", () => { halt(); ask(along(frame, -1)) })
  forward.addEventListener("click", () => { halt(); ask(along(frame, 1)) })

  let timer = null, due = 0
  function tick() {
    const now = performance.now(), pace = 1000 / model.fps
    if (asked != null && now - asked_at < 20000) { return }
    // What fell due while the last frame was on its way is dropped, but not so much that nothing is seen.
    const late = Math.min(Math.floor((now - due) / pace), 3)
    due = Math.max(due + (late + 1) * pace, now - pace)
    root.dataset.dropped = Number(root.dataset.dropped ?? 0) + Math.max(0, late)
    root.dataset.played = Number(root.dataset.played ?? 0) + 1
    ask(along(frame, 1 + Math.max(0, late)))
  }
  function halt() {
    if (timer != null) { clearInterval(timer); timer = null }
    model.playing = false
    draw_play()
  }
  function draw_play() {
    root.classList.toggle("playing", timer != null)
    play.setAttribute("aria-pressed", timer != null)
    label(play, timer != null ? say.pause : say.play)
  }
  model.on("playing", () => { if (!model.playing && timer != null) { halt() } })
  play.addEventListener("click", () => {
    if (timer != null) { halt(); return }
    due = performance.now()
    model.playing = true
    timer = setInterval(tick, Math.min(40, 500 / model.fps))
    draw_play()
  })
  speed.addEventListener("change", () => { model.fps = Number(speed.value); due = performance.now() })
  slider.addEventListener("input", () => { halt(); ask(Number(slider.value)) })
  const pick = () => {
    if (!date.value) { return }
    halt()
    model.send_msg({date: `${date.value}T${hour.value || "12:00"}`})
  }
  date.addEventListener("change", pick)
  hour.addEventListener("change", pick)
  root.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target === slider) { event.preventDefault(); play.click() }
  })
  model.on("lifecycle:remove", () => { if (timer != null) { clearInterval(timer) } })
  root.dataset.shown = model.shown[0]
  draw_months(); draw(); draw_play()
  return root
}
