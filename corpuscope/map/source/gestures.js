// Mouse, touch, wheel and keys become moves of the camera, selections and clicks. Nothing is drawn here.
const STILL = 4
const PAGE_SCROLLS_MS = 350
const KEY_STEP = 0.15
const KEY_ZOOM = 1.4

// `map` is told: pan, zoom, sketch (a selection being drawn), finish, click, hover, leave, and what keys ask for.
export class Gestures {
  constructor(element, map) {
    this.element = element
    this.map = map
    this.pointers = new Map()
    this.sketch = null
    this.scrolledAt = 0
    const listen = (name, does, options) => element.addEventListener(name, does.bind(this), options)
    listen("pointerdown", this.press)
    listen("pointermove", this.move)
    listen("pointerup", this.release)
    listen("pointercancel", this.cancel)
    listen("pointerleave", () => this.map.leave())
    listen("wheel", this.wheel, { passive: false })
    listen("dblclick", (event) => this.map.zoomAt(...this.place(event), event.shiftKey ? 0.5 : 2))
    this.watchPage = (event) => {
      if (!event.composedPath().includes(element)) this.scrolledAt = event.timeStamp
    }
    window.addEventListener("wheel", this.watchPage, { passive: true, capture: true })
  }

  end() {
    window.removeEventListener("wheel", this.watchPage, { capture: true })
  }

  place(event) {
    const box = this.element.getBoundingClientRect()
    return [event.clientX - box.left, event.clientY - box.top]
  }

  press(event) {
    if (event.button !== 0) return
    this.element.setPointerCapture(event.pointerId)
    const at = this.place(event)
    this.pointers.set(event.pointerId, at)
    this.pressed = { at, moved: false }
    if (this.pointers.size > 1) {
      this.drop()
      return
    }
    const mode = event.shiftKey ? (event.altKey ? "box" : "lasso") : this.map.mode
    if (mode !== "pan") this.sketch = { mode, points: [at] }
  }

  move(event) {
    const at = this.place(event)
    const former = this.pointers.get(event.pointerId)
    if (!former) {
      this.map.hover(...at)
      return
    }
    if (!this.pressed.moved && Math.hypot(at[0] - this.pressed.at[0], at[1] - this.pressed.at[1]) < STILL) return
    this.pressed.moved = true
    if (this.pointers.size > 1) this.pinch(event.pointerId, former, at)
    else if (this.sketch) this.extend(at)
    else this.map.pan(at[0] - former[0], at[1] - former[1])
    this.pointers.set(event.pointerId, at)
  }

  extend(at) {
    const { points, mode } = this.sketch
    const last = points[points.length - 1]
    if (mode === "box") points[1] = at
    else if (Math.hypot(at[0] - last[0], at[1] - last[1]) >= 3) points.push(at)
    this.map.showSketch(this.sketch)
  }

  pinch(id, former, at) {
    const [, other] = [...this.pointers].find(([pointer]) => pointer !== id)
    const middle = (point) => [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2]
    const apart = (point) => Math.max(10, Math.hypot(point[0] - other[0], point[1] - other[1]))
    const [from, to] = [middle(former), middle(at)]
    this.map.pan(to[0] - from[0], to[1] - from[1])
    this.map.zoomAt(...to, apart(at) / apart(former))
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return
    if (this.pointers.size) return
    const { sketch, pressed } = this
    this.drop()
    if (!pressed.moved) this.map.click(...pressed.at, event.pointerType)
    else if (sketch) this.map.select(sketch)
    else this.map.rest()
  }

  cancel(event) {
    this.pointers.delete(event.pointerId)
    this.drop()
  }

  // Whatever is being drawn is forgotten; whether there was anything.
  drop() {
    const had = this.sketch !== null
    this.sketch = null
    if (had) this.map.showSketch(null)
    return had
  }

  // A wheel that was scrolling the page goes on doing so when the map comes under the pointer.
  wheel(event) {
    if (event.timeStamp - this.scrolledAt < PAGE_SCROLLS_MS && !event.ctrlKey) {
      this.scrolledAt = event.timeStamp
      return
    }
    event.preventDefault()
    const lines = event.deltaMode ? event.deltaY * 30 : event.deltaY
    this.map.zoomAt(...this.place(event), Math.exp(-Math.max(-240, Math.min(240, lines)) * (event.ctrlKey ? 0.01 : 0.002)))
  }

  // Whether the key meant something to the map.
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false
    const { map } = this
    const { width, height } = map.camera
    const step = event.shiftKey ? 0.03 : KEY_STEP
    const acts = {
      ArrowLeft: () => map.step(step * width, 0),
      ArrowRight: () => map.step(-step * width, 0),
      ArrowUp: () => map.step(0, step * height),
      ArrowDown: () => map.step(0, -step * height),
      "+": () => map.zoomAt(width / 2, height / 2, KEY_ZOOM),
      "=": () => map.zoomAt(width / 2, height / 2, KEY_ZOOM),
      "-": () => map.zoomAt(width / 2, height / 2, 1 / KEY_ZOOM),
      Home: () => map.fit(),
      0: () => map.fit(),
      Escape: () => this.drop() || map.clear(),
      Enter: () => map.openMiddle(),
      s: () => map.selectView(),
      l: () => map.setMode("lasso"),
      b: () => map.setMode("box"),
      h: () => map.setMode("pan"),
    }
    const act = acts[event.key]
    if (act) act()
    return Boolean(act)
  }
}
