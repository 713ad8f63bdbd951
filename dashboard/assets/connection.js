// When the server is gone: a notice that says what to do, and a reload as soon as it answers.
// The address holds the view, so that nothing else has to be kept.
function watch_connection(bokeh, notice, say) {
  const began = Date.now()
  const reload = () => { window.location.reload() }
  const ask = async () => {
    const answer = await fetch("ready", {cache: "no-store"}).catch(() => null)
    // A page that is cut off as soon as it is there shall not reload for ever.
    if (answer?.ok && Date.now() - began > 5000) { reload() }
    else { setTimeout(ask, 2000) }
  }
  bokeh.on_event("connection_lost", () => {
    if (notice.childElementCount) { return }
    const text = document.createElement("span")
    const button = document.createElement("button")
    text.textContent = say.lost
    button.textContent = say.reload
    button.className = "act"
    button.addEventListener("click", reload)
    notice.classList.add("notice")
    notice.append(text, button)
    ask()
  })
}

