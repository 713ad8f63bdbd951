// The chosen place: its series, its values now, and the numbers of the frame.
export function render({model}) {
  const say = model.strings
  const facts = {place: "", subtitle: "", chosen: false, legend: [], numbers: "", spread: false}
  const root = document.createElement("div")
  root.className = "inspect"
  root.innerHTML = `
    <header><div><h2></h2><p class="sub"></p></div><button class="clear"></button></header>
    <div class="tabs" role="tablist"><button role="tab" data-tab="series"></button><button role="tab" data-tab="histogram"></button></div>
    <div class="series"></div>
    <div class="series histogram"></div>
    <ul class="legend"></ul>
    <form class="goto"><label><span></span><input name="lat" inputmode="decimal" size="6"></label>
      <label><span></span><input name="lon" inputmode="decimal" size="6"></label><button></button></form>
    <section class="numbers"></section>`
  const find = (selector) => root.querySelector(selector)
  const clear = find(".clear"), form = find(".goto")
  clear.textContent = say.clear
  clear.addEventListener("click", () => model.send_msg({clear: true}))
  const [lat, lon] = form.querySelectorAll("span")
  lat.textContent = say.lat
  lon.textContent = say.lon
  form.querySelector("button").textContent = say.go
  form.addEventListener("submit", (event) => {
    event.preventDefault()
    model.send_msg({lat: form.lat.value, lon: form.lon.value})
  })
  find(".series").append(model.get_child("series"))
  find(".histogram").append(model.get_child("histogram"))
  let tab = "series"
  const tabs = [...root.querySelectorAll("[role=tab]")]
  const draw_tabs = () => {
    find(".tabs").hidden = !facts.spread
    const histogram = facts.spread && tab === "histogram"
    for (const button of tabs) { button.setAttribute("aria-selected", (button.dataset.tab === "histogram") === histogram) }
    find(".series").hidden = histogram
    find(".histogram").hidden = !histogram
  }
  for (const button of tabs) {
    button.textContent = say[button.dataset.tab]
    button.addEventListener("click", () => { tab = button.dataset.tab; draw_tabs() })
  }

  const draw = () => {
    find("h2").textContent = facts.place
    find(".sub").textContent = facts.subtitle
    clear.hidden = !facts.chosen
  }
  const draw_legend = () => {
    find(".legend").replaceChildren(...facts.legend.map((entry) => {
      const item = document.createElement("li")
      item.innerHTML = `<svg viewBox="0 0 26 8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4"/></svg>
        <span class="name"></span><span class="value"></span><span class="delta"></span>`
      const line = item.querySelector("line")
      line.style.stroke = entry.colour
      line.style.strokeDasharray = entry.dash
      item.querySelector(".name").textContent = entry.name
      item.querySelector(".value").textContent = entry.value
      item.querySelector(".delta").textContent = entry.delta
      return item
    }))
  }
  // Made and escaped by the server.
  const draw_numbers = () => { find(".numbers").innerHTML = facts.numbers }
  on_news(model, facts, (news) => {
    draw(); draw_tabs()
    if ("legend" in news) { draw_legend() }
    if ("numbers" in news) { draw_numbers() }
  })
  model.send_msg({ready: true})
  draw(); draw_tabs(); draw_legend(); draw_numbers()
  return root
}
