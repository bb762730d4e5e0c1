// One map on a page: its layers, its state, and what it tells Python. Made once, then kept in step with each run.
import { Camera } from "./camera.js"
import { makeTable, readColours, readTheme } from "./colours.js"
import { Drawing } from "./drawing.js"
import { Echoes } from "./echoes.js"
import { Gestures } from "./gestures.js"
import { Labels } from "./labels.js"
import { markAt, sortMarks } from "./marks.js"
import { Notice } from "./notice.js"
import { fetchBytes, fetchPoints } from "./payload.js"
import { Grid } from "./picking.js"
import { download, makePicture } from "./picture.js"
import { PointsLayer } from "./points_layer.js"
import { boxCorners, toPolygon } from "./selection.js"
import { Toolbar } from "./toolbar.js"
import { Tooltip } from "./tooltip.js"

const REST_MS = 110
const REPORT_MS = 600
const REACH = 9
const KEY_REACH = 60

const PARTS = `
<button class="skip" type="button">Show this as a table</button>
<div class="stage" tabindex="0" role="application" aria-roledescription="map">
  <canvas class="beneath"></canvas><canvas class="points"></canvas><canvas class="above"></canvas>
</div>
<div class="tools" role="toolbar" aria-label="Tools of the map"></div>
<div class="card" hidden></div>
<div class="notice" role="status" hidden></div>
<div class="spoken" aria-live="polite"></div>`

export class MapView {
  constructor(root) {
    this.root = root
    root.innerHTML = PARTS
    const part = (name) => root.querySelector(`.${name}`)
    this.stage = part("stage")
    this.camera = new Camera()
    this.labels = new Labels()
    this.echoes = { view: new Echoes(isSameView), selection: new Echoes() }
    this.data = {}
    this.given = {}
    this.marks = []
    this.hovered = null
    this.mode = "pan"
    this.tooltip = new Tooltip(part("card"), part("spoken"))
    this.notice = new Notice(part("notice"))
    this.toolbar = new Toolbar(part("tools"), { setMode: (mode) => this.setMode(mode), act: (name) => this.act(name) })
    this.gestures = new Gestures(this.stage, this)
    part("skip").onclick = () => this.goToTwin()
    root.onkeydown = (event) => this.key(event)
    this.pointAt = (event) => this.showPoint(event.detail.place)
    document.addEventListener("corpuscope:point", this.pointAt)
    this.layer = this.makeLayer(part("points"))
    this.drawing = new Drawing(this, this.stage, this.layer, this.camera)
  }

  makeLayer(canvas) {
    try {
      return new PointsLayer(canvas, () => this.drawing.invalidate())
    } catch (error) {
      console.warn("WebGL 2 can't be used.", error)
      return null
    }
  }

  end() {
    document.removeEventListener("corpuscope:point", this.pointAt)
    this.gestures.end()
    this.drawing.end()
    this.loading?.abort()
    this.tooltip.hide()
    for (const timer of [this.restTimer, this.reportTimer]) clearTimeout(timer)
    this.layer?.gl.getExtension("WEBGL_lose_context")?.loseContext()
  }

  // ---- what Python says

  update(data, tell) {
    this.tell = tell
    const former = this.data
    this.data = data
    this.root.style.height = `${data.height}px`
    this.theme = readTheme(this.root)
    this.tooltip.address = data.point
    if (data.map !== former.map) this.beginMap()
    this.adopt(data)
    this.labels.set(data.labels)
    this.marks = sortMarks(data.marks)
    if (!this.layer) {
      this.notice.show("This browser can't draw the map: WebGL 2 is off or missing.", this.twinAct())
      this.mark("no-webgl")
      return
    }
    if (data.points !== former.points) this.load()
    this.recolour(former)
    this.relight(former)
    this.describe()
    this.drawing.invalidate({ pointsToo: data.contours !== former.contours })
  }

  beginMap() {
    this.camera.fit()
    this.selection = null
    this.hovered = null
    this.given = {}
    this.tooltip.forget()
  }

  // Take over a view or a selection that Python has changed; what it merely hands back is here already.
  adopt(data) {
    const view = JSON.stringify(data.view)
    if (data.view && view !== this.given.view && !this.echoes.view.has(data.view)) {
      this.camera.view = data.view
      this.drawing.pointsStale = true
    }
    const selection = JSON.stringify(data.selection)
    const isNew = selection !== (this.given.selection ?? "null")
    if (isNew && !this.echoes.selection.has(data.selection)) this.selection = data.selection
    this.given = { view, selection }
    this.toolbar.show({ mode: this.mode, hasSelection: Boolean(this.selection) })
  }

  async load() {
    this.loading?.abort()
    this.loading = new AbortController()
    const { signal } = this.loading
    const begun = performance.now()
    if (!this.layer.points) this.notice.show("Loading the points…")
    this.mark("loading")
    try {
      const points = await fetchPoints(this.data.points, signal)
      if (signal.aborted) return
      this.tooltip.forget()
      this.grid = null
      this.drawing.contours = null
      this.layer.setPoints(points)
      this.notice.show(points.points ? "" : "This map has no points that you can see.")
      this.drawing.onDrawn = () => this.mark("drawn", points.points, performance.now() - begun)
      this.describe()
      this.drawing.invalidate()
    } catch (error) {
      if (signal.aborted) return
      this.mark("failed")
      this.notice.show(`The points could not be loaded. ${error.message}`, { text: "Try again", act: () => this.load() })
    }
  }

  // For tests and measurements, and styles.
  mark(state, points, took) {
    this.root.dataset.state = state
    if (points !== undefined) this.root.dataset.points = points
    if (took !== undefined) this.root.dataset.took = Math.round(took)
  }

  recolour(former) {
    const { colours } = this.data
    const kind = JSON.stringify([colours, this.theme])
    if (kind === this.coloured) return
    this.coloured = kind
    const apply = () => {
      const read = readColours(colours)
      this.layer.setTable(read.by, makeTable(read, this.theme))
      this.drawing.contours = null
      this.drawing.invalidate()
    }
    const address = colours.by === "channel" ? colours.channel : null
    if (!address || address === former.colours?.channel) apply()
    else this.fetchChannel("channel", address, apply)
  }

  relight(former) {
    const { dim } = this.data
    if (dim === (former.dim ?? null)) return
    if (dim) this.fetchChannel("lit", dim, () => this.drawing.invalidate())
    else {
      this.layer.setBytes("lit", null)
      this.drawing.invalidate()
    }
  }

  async fetchChannel(name, address, then) {
    const isWanted = () => address === (name === "lit" ? this.data.dim : this.data.colours.channel)
    try {
      const bytes = new Uint8Array(await fetchBytes(address))
      if (!isWanted()) return
      await this.pointsThere()
      this.layer.setBytes(name, fitted(bytes, this.layer.points.count))
      then()
    } catch (error) {
      if (isWanted()) this.notice.show(`The colours could not be loaded. ${error.message}`, { text: "Close", act: () => this.notice.show("") })
    }
  }

  async pointsThere() {
    while (!this.layer.points) await new Promise((resolve) => setTimeout(resolve, 30))
  }

  describe() {
    const count = this.layer.points?.points ?? 0
    this.stage.ariaLabel =
      `Map of ${count.toLocaleString()} points. Arrow keys move, plus and minus zoom, Home shows everything, Enter opens ` +
      "the point in the middle, S selects what is seen, Escape clears the selection."
  }

  // ---- what a person does

  setMode(mode) {
    this.mode = mode
    this.stage.dataset.mode = mode
    this.toolbar.show({ mode, hasSelection: Boolean(this.selection) })
  }

  act(name) {
    const { width, height } = this.camera
    const acts = {
      clear: () => this.clear(),
      fit: () => this.fit(),
      "zoom in": () => this.zoomAt(width / 2, height / 2, 1.5),
      "zoom out": () => this.zoomAt(width / 2, height / 2, 1 / 1.5),
      picture: () => this.download(),
    }
    acts[name]()
  }

  key(event) {
    if (event.target !== this.stage || !this.gestures.key(event)) return
    event.preventDefault()
    event.stopPropagation()
  }

  pan(right, down) {
    this.camera.panBy(right, down)
    this.moved()
  }

  // By a key: what comes to the middle is said.
  step(right, down) {
    this.pan(right, down)
    this.byKeys = true
    const place = this.pick(this.camera.width / 2, this.camera.height / 2, KEY_REACH)
    this.setHovered(place, { aloud: true })
  }

  zoomAt(left, top, factor) {
    this.camera.zoomAt(left, top, factor)
    this.moved()
  }

  fit() {
    this.camera.fit()
    this.moved()
  }

  moved() {
    this.setHovered(null)
    this.drawing.isMoving = true
    clearTimeout(this.restTimer)
    this.restTimer = setTimeout(() => this.rest(), REST_MS)
    this.drawing.invalidate()
  }

  rest() {
    this.drawing.isMoving = false
    this.drawing.invalidate()
    clearTimeout(this.reportTimer)
    this.reportTimer = setTimeout(() => this.report("view", this.camera.view), REPORT_MS)
  }

  report(name, value) {
    if (name === "polygon") this.echoes.selection.note(this.selection)
    else this.echoes.view.note(value)
    this.tell.setStateValue(name, { map: this.data.map, value })
  }

  showSketch(sketch) {
    this.sketch = sketch
    this.setHovered(null)
    this.drawing.invalidate({ pointsToo: false })
  }

  select({ mode, points }) {
    const corners = mode === "box" ? boxCorners(points[0], points[points.length - 1]) : points
    const polygon = toPolygon(corners, this.camera)
    if (polygon) this.setSelection(polygon)
  }

  selectView() {
    this.select({ mode: "box", points: [[0, 0], [this.camera.width, this.camera.height]] })
  }

  clear() {
    if (this.selection) this.setSelection(null)
  }

  setSelection(polygon) {
    this.selection = polygon
    this.toolbar.show({ mode: this.mode, hasSelection: Boolean(polygon) })
    this.report("polygon", polygon ?? [])
    this.drawing.invalidate({ pointsToo: false })
  }

  hover(left, top) {
    this.byKeys = false
    this.pointer = [left, top]
    this.hoverFrame ??= requestAnimationFrame(() => {
      this.hoverFrame = null
      if (this.pointer && !this.drawing.isMoving) this.setHovered(this.pick(...this.pointer))
    })
  }

  leave() {
    this.pointer = null
    this.setHovered(null)
  }

  click(left, top, pointer) {
    const place = this.pick(left, top, pointer === "touch" ? 2 * REACH : REACH)
    this.setHovered(place)
    if (place !== null) this.open(place)
  }

  openMiddle() {
    const place = this.pick(this.camera.width / 2, this.camera.height / 2, KEY_REACH)
    if (place !== null) this.open(place)
  }

  open(place) {
    this.tell.setTriggerValue("clicked", { map: this.data.map, value: place })
  }

  // The place of the mark or the point at a spot of the screen, or null. A dimmed point is the last choice.
  pick(left, top, reach = REACH) {
    const points = this.layer?.points
    if (!points) return null
    const mark = markAt(this.marks, this.camera, left, top)
    if (mark) return mark.place
    this.grid ??= new Grid(points)
    const [x, y] = this.camera.toMap(left, top)
    const near = (accepts) => this.grid.nearest(x, y, reach / this.camera.scale, accepts)
    const { layer } = this
    return near((place) => layer.isDrawn(place) && layer.isLit(place)) ?? near((place) => layer.isDrawn(place))
  }

  setHovered(place, options) {
    if (place !== this.hovered) {
      this.hovered = place
      this.drawing.invalidate({ pointsToo: false })
    }
    this.stage.classList.toggle("over", place !== null)
    if (place === null) this.tooltip.hide()
    else this.tooltip.show(place, this.screenOf(place), [this.camera.width, this.camera.height], options)
  }

  // A list elsewhere on the page is at this place, or at none any more.
  showPoint(place) {
    const count = this.layer?.points?.count ?? 0
    this.setHovered(place !== null && place < count ? place : null)
  }

  screenOf(place) {
    const { x, y } = this.layer.points
    return this.camera.toScreen(x[place], y[place])
  }

  goToTwin() {
    const { twin } = this.data
    const element = twin && (document.getElementById(twin) ?? document.querySelector(`.st-key-${CSS.escape(twin)}`))
    element?.scrollIntoView({ behavior: "smooth", block: "start" })
  }

  twinAct() {
    return this.data.twin ? { text: "Go to the table that says the same", act: () => this.goToTwin() } : null
  }

  download() {
    this.setHovered(null)
    this.drawing.drawNow()
    const { frame, colours } = this.data
    const picture = makePicture(Object.values(this.drawing.canvases), {
      frame,
      inks: this.theme.dark ? colours.dark : colours.light,
      theme: this.theme,
      width: this.camera.width,
      height: this.camera.height,
      ratio: this.drawing.ratio,
    })
    download(picture, frame?.title || "map")
  }
}

// A channel read a moment before or after the points may be shorter: what is missing has no number and isn't dimmed.
function fitted(bytes, count) {
  if (bytes.length === count) return bytes
  const whole = new Uint8Array(count).fill(255)
  whole.set(bytes.subarray(0, count))
  return whole
}

function isSameView(one, other) {
  if (!one || !other) return one === other
  const span = 65535 / other[2]
  return Math.hypot(one[0] - other[0], one[1] - other[1]) < 0.01 * span && Math.abs(Math.log(one[2] / other[2])) < 0.02
}
