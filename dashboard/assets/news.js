// What the server tells a part (`Part.tell`). Messages may overtake each other on their way: of each fact
// the one that was told last stays.
function on_news(model, facts, draw) {
  const told = {}
  model.on("msg:custom", ({order, facts: news}) => {
    const fresh = Object.keys(news).filter((name) => (told[name] ?? 0) <= order)
    for (const name of fresh) {
      told[name] = order
      facts[name] = news[name]
    }
    draw(Object.fromEntries(fresh.map((name) => [name, news[name]])))
  })
}
