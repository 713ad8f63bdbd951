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
      <div class="date"><input type="text" maxlength="10" size="10" spellcheck="false" autocomplete="off"><button class="choose"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 6h16v14H4zM4 10h16M8 3v4M16 3v4"/></svg></button>
        <div class="calendar" role="dialog" hidden></div></div>
      <label class="hour"><select></select></label>
      <span class="zone">UTC</span>
    </div>`
  const find = (selector) => root.querySelector(selector)
  const back = find(".back"), play = find(".play"), forward = find(".forward")
  const speed = find(".speed select"), slider = find(".slide input"), months = find(".months")
  const days = find(".days"), date = find(".date input"), hour = find(".hour select")
  const picker = find(".date .choose"), calendar = find(".calendar")
  const jump = find(".case select")
  const label = (node, text) => { node.setAttribute("aria-label", text); node.title = text }
  label(back, say.back); label(forward, say.forward); label(speed, say.speed)
  label(date, say.date); label(picker, say.calendar); label(calendar, say.calendar); label(hour, say.hour); label(jump, say.case)
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
    requestAnimationFrame(() => {
      asked = null
      if (waiting != null && waiting !== shown) { const next = waiting; waiting = null; ask(next) }
      else { waiting = null; if (!model.playing && frame !== shown) { frame = shown; draw() } }
    })
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
    if (now < due || (asked != null && now - asked_at < 20000)) { return }
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
    const [, year, month, day] = /^(\d{4})\D(\d{1,2})\D(\d{1,2})\D?$/.exec(date.value.trim()) ?? []
    const text = year && `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`
    if (!text || Number.isNaN(Date.parse(text))) { date.value = iso(frame).slice(0, 10); return }
    halt()
    model.send_msg({date: `${text}T${hour.value || "12:00"}`})
  }

  // A calendar in the language of the page: what the browser offers speaks its own.
  const DAY = 86400e3
  const weekday = new Intl.DateTimeFormat(model.locale, {timeZone: "UTC", weekday: "narrow"})
  const whole_day = new Intl.DateTimeFormat(model.locale, {timeZone: "UTC", dateStyle: "full"})
  let looked = 0  // the day that the calendar is at, milliseconds
  const day_of = (k) => Math.floor(stamp(k) / DAY) * DAY
  const holds = (day) => {
    const at = (time) => Math.ceil((time / 1000 - model.first) / model.step)
    return model.runs.some(([start, end]) => start < at(day + DAY) && at(day) < end)
  }
  const look = (day, focus = true) => {
    looked = Math.min(Math.max(day, day_of(0)), day_of(model.count - 1))
    const now = new Date(looked)
    const first = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)
    const after = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
    const monday = first - (new Date(first).getUTCDay() + 6) % 7 * DAY
    const move = (text, arrow, months) => {
      const button = document.createElement("button")
      label(button, text)
      button.textContent = arrow
      button.addEventListener("click", () => turn(months))
      return button
    }
    const head = document.createElement("div"), title = document.createElement("strong"), grid = document.createElement("div")
    head.className = "head"; grid.className = "grid"
    title.textContent = month_format.format(now)
    title.setAttribute("aria-live", "polite")
    head.append(move(say.month_back, "‹", -1), title, move(say.month_forward, "›", 1))
    for (let k = 0; k < 7; k++) {
      const name = document.createElement("span")
      name.textContent = weekday.format(monday + k * DAY)
      name.setAttribute("aria-hidden", "true")
      grid.append(name)
    }
    for (let day = first; day < after; day += DAY) {
      const button = document.createElement("button")
      button.textContent = new Date(day).getUTCDate()
      button.dataset.day = new Date(day).toISOString().slice(0, 10)
      button.setAttribute("aria-label", `${whole_day.format(day)}: ${holds(day) ? say.available : say.absent}`)
      button.classList.toggle("absent", !holds(day))
      button.tabIndex = day === looked ? 0 : -1
      if (day === first) { button.style.gridColumnStart = (day - monday) / DAY + 1 }
      if (day === day_of(frame)) { button.setAttribute("aria-current", "date") }
      button.addEventListener("click", () => { date.value = button.dataset.day; shut(); pick() })
      grid.append(button)
    }
    calendar.replaceChildren(head, grid)
    if (focus) { grid.querySelector('button[tabindex="0"]').focus() }
  }
  const turn = (months) => {
    const now = new Date(looked)
    const last = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months + 1, 0)).getUTCDate()
    look(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, Math.min(now.getUTCDate(), last)))
  }
  const open = () => { calendar.hidden = false; picker.setAttribute("aria-expanded", true); look(day_of(frame)) }
  const shut = () => {
    const inside = calendar.contains(root.getRootNode().activeElement)
    calendar.hidden = true
    picker.setAttribute("aria-expanded", false)
    if (inside) { picker.focus() }
  }
  picker.setAttribute("aria-expanded", false)
  picker.addEventListener("click", () => calendar.hidden ? open() : shut())
  calendar.addEventListener("keydown", (event) => {
    const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7}, months = {PageUp: -1, PageDown: 1}
    if (event.key in steps) { look(looked + steps[event.key] * DAY) }
    else if (event.key in months) { turn(months[event.key]) }
    else if (event.key === "Escape") { shut() }
    else { return }
    event.preventDefault()
    event.stopPropagation()
  })
  find(".date").addEventListener("focusout", (event) => {
    if (!calendar.hidden && event.relatedTarget && !find(".date").contains(event.relatedTarget)) { shut() }
  })
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
