// The maps of a page: fields and lines below what Bokeh draws, dots and wind above it.
//
// Bokeh keeps ranges, tools and what the mouse can be over. What a frame changes goes past it: the
// cells come in one message (`dashboard.maps.figures`), and every pixel of a map is looked up in
// them through a table of cells and weights, which is made anew only when the view is another.

const MOST = 1.5e6   // pixels of a map; a larger one is stretched
const PAUSE = 100    // milliseconds until a figure that is not shown is looked for again
const CHOSEN = "#ff2d78"

// Where k lies in ascending values, walking on from the place before.
const walk = (values, k, at, last) => {
  while (k < last && values[k + 1] <= at) { k++ }
  while (k > 0 && values[k] > at) { k-- }
  return k
}

// The inverse of a projection, (x, y) to `out`: [longitude, latitude], NaN outside the map.
// It is that of `dashboard.maps.projection`; `how` is what the projection tells of itself.
function inverse(how, out) {
  const rad = Math.PI / 180
  if (how.kind) {
    const sphere = how.kind[0] === "orthographic", lon0 = how.lon0[0]
    const s0 = Math.sin(how.lat0[0] * rad), c0 = Math.cos(how.lat0[0] * rad)
    return (x, y) => {
      const r = Math.hypot(x, y) / 180
      if (!(r <= 1)) { out[0] = out[1] = NaN; return }
      const c = sphere ? Math.asin(r) : 2 * Math.atan(r), s = Math.sin(c), k = Math.cos(c)
      const e = r > 0 ? x / 180 / r : 0, n = r > 0 ? y / 180 / r : 1
      out[1] = Math.asin(Math.max(-1, Math.min(1, k * s0 + n * s * c0))) / rad
      out[0] = lon0 + Math.atan2(e * s, k * c0 - n * s * s0) / rad
    }
  }
  const {lat, width, height} = how, last = height.length - 2
  let k = 0, before = NaN, across = NaN, at = NaN
  return (x, y) => {
    if (y !== before) {  // a parallel is a row of pixels
      before = y
      k = walk(height, k, y, last)
      const share = (y - height[k]) / (height[k + 1] - height[k])
      const inside = y >= height[0] && y <= height[last + 1]
      at = inside ? lat[k] + share * (lat[k + 1] - lat[k]) : NaN
      across = width[k] + share * (width[k + 1] - width[k])
    }
    const lon = x / across
    out[0] = Math.abs(lon) <= 180 + 1e-9 ? lon : NaN
    out[1] = out[0] === out[0] ? at : NaN
  }
}

// For every pixel of a view the first of four cells and the weights of the others; -1: not on the
// map, -2: not on the grid. Cells stand in rows of `grid.row` values, see `padded`.
function table(how, grid, smooth, w, h, [x0, x1, y0, y1]) {
  const cell = new Int32Array(w * h), u = new Float32Array(w * h), v = new Float32Array(w * h)
  const {rows, columns, lat, lon} = grid
  const [north, west, east] = [rows.length - 1, columns[0], columns[columns.length - 1]]
  const place = [NaN, NaN], locate = inverse(how, place)
  let i = 0, j = 0
  for (let row = 0, p = 0; row < h; row++) {
    const y = y1 + (row + 0.5) * (y0 - y1) / h
    for (let column = 0; column < w; column++, p++) {
      locate(x0 + (column + 0.5) * (x1 - x0) / w, y)
      const phi = place[1]
      if (phi !== phi) { cell[p] = -1; continue }
      let lambda = place[0]
      while (lambda < west) { lambda += 360 }
      while (lambda >= west + 360) { lambda -= 360 }
      if (phi < rows[0] || phi > rows[north] || lambda > east) { cell[p] = -2; continue }
      if (smooth) {
        i = walk(lat, i, phi, lat.length - 2)
        j = walk(lon, j, lambda, lon.length - 2)
        u[p] = Math.max(0, Math.min(1, (phi - lat[i]) / (lat[i + 1] - lat[i])))
        v[p] = Math.max(0, Math.min(1, (lambda - lon[j]) / (lon[j + 1] - lon[j])))
        cell[p] = i * grid.row + j
      } else {
        i = walk(rows, i, phi, north - 1)
        j = walk(columns, j, lambda, columns.length - 2)
        cell[p] = i * grid.row + j + grid.pad
      }
    }
  }
  return {cell, u, v}
}

// Cells of a field in rows; around the globe a row begins with its last cell and ends with its first.
function grid_of({rows, columns, lat, lon: middles}) {
  const width = middles.length, pad = columns[width] - columns[0] > 359.99 ? 1 : 0
  const lon = pad ? [middles[width - 1] - 360, ...middles, middles[0] + 360] : middles
  return {rows, columns, lat, lon, width, pad, row: width + 2 * pad}
}
function padded(values, grid, room) {
  const field = new Float32Array(values.buffer, values.byteOffset, values.length)
  const {width, row, pad} = grid, count = field.length / width
  for (let n = 0; n < count; n++) {
    room.set(field.subarray(n * width, (n + 1) * width), n * row + pad)
    if (pad) { room[n * row] = field[(n + 1) * width - 1]; room[(n + 1) * row - 1] = field[n * width] }
  }
  return room
}

// Four cells with gaps: the mean of those that are there, if they weigh a half or more.
function mean_of(cells, k, row, u, v) {
  let sum = 0, share = 0
  for (const [n, weight] of [[k, (1 - u) * (1 - v)], [k + 1, (1 - u) * v], [k + row, u * (1 - v)], [k + row + 1, u * v]]) {
    if (weight > 0 && cells[n] === cells[n]) { sum += weight * cells[n]; share += weight }
  }
  return share >= 0.5 ? sum / share : NaN
}

// Bilinear between four cells.
function between(cells, k, row, u, v) {
  const a = cells[k], b = cells[k + row]
  const south = a + v * (cells[k + 1] - a), north = b + v * (cells[k + row + 1] - b)
  const value = south + u * (north - south)
  return value === value ? value : mean_of(cells, k, row, u, v)
}

const packed = (colour) => {  // "#rrggbb" as a pixel of an image
  const n = parseInt(colour.slice(1), 16)
  return (0xff000000 | (n & 0xff) << 16 | n & 0xff00 | n >> 16) >>> 0
}

// Lines with NaN in between as a path in the plane of the map.
function path_of(x, y) {
  const path = new Path2D()
  for (let n = 0, on = false; n < x.length; n++) {
    if (x[n] !== x[n]) { on = false; continue }
    if (on) { path.lineTo(x[n], y[n]) } else { path.moveTo(x[n], y[n]) }
    on = true
  }
  return path
}

// Lines and dots grow with the letters of the page, on maps that have room for it.
const weight = (letters, width) => Math.max(1, Math.min(letters, width / 600))

class Painter {
  constructor(args, index) {
    const {frame, mappers, style, geo, lines, chosen, sites, dots} = args
    Object.assign(this, args, {index, grid: grid_of(args)})
    this.room = new Float32Array(this.grid.row * this.grid.lat.length)
    this.tables = new Map()
    this.hands = new Map()  // for every figure its view and our canvases
    this.colours = new Map()
    this.paths = new Map()  // lines in the plane of the map, by name
    this.changes = 0        // of what lies still while frames come
    this.waiting = this.due = false
    const soon = () => this.soon()
    geo.properties.data.change.connect(() => { this.tables.clear(); soon() })
    frame.patching.connect(soon)
    for (const source of [style, lines, chosen]) {
      source.properties.data.change.connect(() => { this.changes++; this.paths.clear(); soon() })
    }
    sites.properties.data.change.connect(soon)
    for (const mapper of mappers) { mapper.change.connect(soon) }
    for (const dot of dots) { dot.properties.visible.change.connect(soon) }
  }

  // Paint all maps when what has come with this message has been taken in.
  soon() {
    if (this.due) { return }
    this.due = true
    queueMicrotask(() => { this.due = false; this.paint() })
  }

  paint() {
    let missing = false
    this.plots.forEach((plot, n) => {
      const hand = this.attend(plot, n)
      if (hand == null) { missing = true } else { this.draw(hand, n) }
    })
    if (missing && !this.waiting && this.frame.document != null) {
      this.waiting = true  // Bokeh does not say when it shows a figure again
      setTimeout(() => { this.waiting = false; this.paint() }, PAUSE)
    }
  }

  // Our canvases in the figure that Bokeh shows now.
  attend(plot, n) {
    const known = this.hands.get(plot)
    if (known != null) { return known }
    const view = this.index.find_one(plot)
    const below = view?.canvas_view?.underlays_el, above = view?.canvas_view?.overlays_el
    if (!below?.isConnected) { return null }
    const [field, lines, marks] = [["field", below], ["lines", below], ["marks", above]].map(([name, layer]) => {
      const canvas = document.createElement("canvas")
      canvas.className = name
      canvas.style.position = "absolute"
      layer.append(canvas)
      return canvas
    })
    const hand = {view, field, lines, marks, seen: "", drawn: "", ...this.letters_of(view)}
    this.hands.set(plot, hand)
    view.repainted.connect(() => {
      if (this.view_of(hand) === hand.seen) { return }
      Object.assign(hand, this.letters_of(view))
      this.draw(hand, n)
    })
    view.removed.connect(() => { this.hands.delete(plot); this.soon() })
    return hand
  }

  // The page's letters around a figure: their size beside 13 pixels, and their family.
  letters_of({el}) {
    const {fontSize, fontFamily} = getComputedStyle(el.parentElement ?? el)
    return {letters: parseFloat(fontSize) / 13 || 1, family: fontFamily}
  }

  view_of({view}) {
    const {x_range, y_range} = view.model, {left, top, width, height} = view.frame.bbox
    return [x_range.start, x_range.end, y_range.start, y_range.end, left, top, width, height, devicePixelRatio].join()
  }

  draw(hand, n) {
    const {view, field, lines, marks} = hand, {left, top, width, height} = view.frame.bbox
    if (!(width > 1 && height > 1)) { return }
    hand.seen = this.view_of(hand)
    const {x_range, y_range} = view.model
    const view_box = [x_range.start, x_range.end, y_range.start, y_range.end]
    const sharp = Math.min(devicePixelRatio, Math.sqrt(MOST / (width * height)))
    const sizes = [[field, sharp], [lines, devicePixelRatio], [marks, devicePixelRatio]]
    for (const [canvas, ratio] of sizes) {
      const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)]
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h }
      Object.assign(canvas.style, {left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px`})
    }
    const drawn = [hand.seen, hand.letters, this.changes].join()
    if (drawn !== hand.drawn) {
      hand.drawn = drawn
      this.line(lines, view_box, hand)
    }
    const role = this.roles[n], colours = this.scale(this.mappers[n])
    this.fill(field, this.cells(role), this.table(field.width, field.height, view_box), colours)
    this.mark(marks, role, this.dots[n], view_box, colours, hand.letters)
  }

  // A canvas made empty, and where a place of the plane lies on it, in pixels of the page.
  begin(canvas, [x0, x1, y0, y1]) {
    const pen = canvas.getContext("2d"), ratio = devicePixelRatio
    const width = canvas.width / ratio, height = canvas.height / ratio
    pen.setTransform(ratio, 0, 0, ratio, 0, 0)
    pen.clearRect(0, 0, width, height)
    const [a, d] = [width / (x1 - x0), -height / (y1 - y0)]
    const matrix = new DOMMatrix([a, 0, 0, d, -x0 * a, -y1 * d])
    return {pen, width, height, matrix, across: (x) => (x - x0) * a, down: (y) => (y - y1) * d}
  }

  // Coast, graticule, outlines and names.
  line(canvas, view_box, {letters, family}) {
    const {pen, width, matrix, across, down} = this.begin(canvas, view_box)
    const colour = (name) => this.style.data[name][0]
    const stroke = (source, name, style, wide, alpha = 1, dash = []) => {
      if (!this.paths.has(name)) { this.paths.set(name, path_of(source.data[`${name}_x`][0], source.data[`${name}_y`][0])) }
      const path = new Path2D()
      path.addPath(this.paths.get(name), matrix)
      Object.assign(pen, {strokeStyle: style, lineWidth: wide, globalAlpha: alpha, lineJoin: "bevel"})
      pen.setLineDash(dash)
      pen.stroke(path)
      Object.assign(pen, {globalAlpha: 1})
      pen.setLineDash([])
    }
    const {lines, chosen} = this
    const bold = weight(letters, width)
    stroke(lines, "graticule", colour("graticule"), 0.6 * bold, 0.22)
    stroke(lines, "coast", colour("coast"), bold, 0.95)
    stroke(lines, "edge", colour("muted"), 1.5 * bold)
    stroke(chosen, "cases", colour("text"), 1.4 * bold, 1, [5 * bold, 3 * bold])
    stroke(chosen, "region", CHOSEN, 2.2 * bold)
    pen.font = `bold ${11 * letters}px ${family}`
    pen.textBaseline = "bottom"
    for (const [x, y, text] of chosen.data.case_names[0]) {
      const [at, to] = [across(x), down(y)], size = 11 * letters
      Object.assign(pen, {fillStyle: colour("surface"), globalAlpha: 0.75})
      pen.fillRect(at, to - 1.15 * size, pen.measureText(text).width, 1.15 * size)
      Object.assign(pen, {fillStyle: colour("text"), globalAlpha: 1})
      pen.fillText(text, at, to)
    }
    if (this.labelled && width > 560) {  // on a telephone they have no room
      const globe = this.geo.data.kind  // labels on the map, whose colours are any, have a halo
      Object.assign(pen, {lineWidth: 3 * letters, strokeStyle: colour("surface"), lineJoin: "round"})
      for (const [x, y, text, align, baseline] of lines.data.labels[0]) {
        const inside = globe && Math.hypot(x, y) < 180
        Object.assign(pen, {textAlign: align, textBaseline: baseline, fillStyle: colour(inside ? "text" : "muted")})
        pen.font = `${inside ? "600 " : ""}${10 * letters}px ${family}`
        if (inside) { pen.strokeText(text, across(x), down(y)) }
        pen.fillText(text, across(x), down(y))
      }
      pen.textAlign = "start"
    }
    const [point_x, point_y] = chosen.data.point[0]
    if (Number.isFinite(point_x) && Number.isFinite(point_y)) {
      const [at, to] = [across(point_x), down(point_y)], radius = 7.5 * letters, arm = radius * Math.SQRT1_2
      Object.assign(pen, {strokeStyle: CHOSEN, lineWidth: 2})
      pen.beginPath()
      pen.arc(at, to, radius, 0, 2 * Math.PI)
      for (const turn of [-1, 1]) {
        pen.moveTo(at - arm, to - turn * arm)
        pen.lineTo(at + arm, to + turn * arm)
      }
      pen.stroke()
    }
  }

  cells(role) { return padded(this.frame.data[`cell_${role}`][0], this.grid, this.room) }

  // Maps of one view share their table.
  table(w, h, view) {
    const smooth = this.style.data.smooth[0], name = [w, h, smooth, ...view].join()
    if (!this.tables.has(name)) {
      if (this.tables.size > 3) { this.tables.clear() }
      this.tables.set(name, table(this.geo.data, this.grid, smooth, w, h, view))
    }
    return this.tables.get(name)
  }

  scale(mapper) {
    const {palette, low, high} = mapper
    if (!this.colours.has(palette)) { this.colours.set(palette, Uint32Array.from(palette, packed)) }
    return {low, high, palette, pixels: this.colours.get(palette)}
  }

  fill(canvas, cells, {cell, u, v}, {low, high, pixels}) {
    const pen = canvas.getContext("2d", {willReadFrequently: true})
    const image = pen.createImageData(canvas.width, canvas.height)
    const out = new Uint32Array(image.data.buffer), row = this.grid.row
    const smooth = this.style.data.smooth[0], nothing = packed(this.style.data.sea[0])
    const last = pixels.length - 1, norm = pixels.length / (high - low)
    for (let p = 0; p < out.length; p++) {
      const k = cell[p]
      if (k === -1) { continue }
      const value = k < 0 ? NaN : smooth ? between(cells, k, row, u[p], v[p]) : cells[k]
      if (value !== value) { out[p] = nothing; continue }
      const at = (value - low) * norm
      out[p] = pixels[at <= 0 ? 0 : at >= last ? last : at | 0]
    }
    pen.putImageData(image, 0, 0)
    canvas.dataset.low = low
    canvas.dataset.high = high
  }

  // Wind, and dots with what stations report.
  mark(canvas, role, dot, view_box, {low, high, palette}, letters) {
    const {x, y} = this.sites.data, values = this.frame.data[`site_${role}`][0]
    const [wx, wy] = [this.frame.data.wind_x[0], this.frame.data.wind_y[0]]
    const shown = dot.visible ? x.length : 0
    if (!shown && !wx.length && !canvas.dataset.marked) { return }
    canvas.dataset.marked = shown || wx.length ? "yes" : ""
    const {pen, width, height, matrix, across, down} = this.begin(canvas, view_box)
    const wind = new Path2D(), bold = weight(letters, width)
    wind.addPath(path_of(wx, wy), matrix)
    pen.strokeStyle = this.style.data.coast[0]
    pen.lineWidth = 1.1 * bold
    pen.stroke(wind)
    const size = width > 560 ? this.size : Math.min(this.size, 5)  // a telephone's map is as small as those of Compare
    const radius = Math.max(size / 2 * bold, width / 220), count = palette.length
    const rings = new Path2D()
    for (let n = 0; n < shown; n++) {
      const [at, to] = [across(x[n]), down(y[n])]
      if (!(at > -radius && to > -radius && at < width + radius && to < height + radius)) { continue }
      const ring = new Path2D()
      ring.arc(at, to, radius, 0, 2 * Math.PI)
      if (values[n] === values[n]) {
        const k = Math.floor((values[n] - low) * count / (high - low))
        pen.fillStyle = palette[Math.max(0, Math.min(count - 1, k))]
        pen.fill(ring)
      }
      rings.addPath(ring)
    }
    pen.lineWidth = bold
    pen.strokeStyle = "#000000"
    pen.stroke(rings)
  }
}

let painter = null
export default (args, plot, data, {index}) => {
  painter ??= new Painter(args, index)
  painter.soon()
}
export {between, grid_of, padded, table}  // for tests
