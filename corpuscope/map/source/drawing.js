// The three canvases of a map, one over the other: contours, points, and what is on top of them.
import { drawContours, makeContours } from "./contours.js"
import { drawMarks } from "./marks.js"
import { pointSize } from "./points_layer.js"
import { boxCorners, drawSelection } from "./selection.js"

// A drawing that takes longer (software, a million points) is moved by CSS meanwhile, and made anew at rest.
const SLOW_MS = 24

export class Drawing {
  // `scene` has what is drawn: data, theme, labels, marks, selection, sketch, hovered, byKeys, root, and screenOf().
  constructor(scene, stage, layer, camera) {
    const canvas = (name) => stage.querySelector(`.${name}`)
    this.canvases = { beneath: canvas("beneath"), points: canvas("points"), above: canvas("above") }
    this.scene = scene
    this.stage = stage
    this.layer = layer
    this.camera = camera
    this.contours = null
    this.isMoving = false
    this.drawings = 0
    this.cost = 0
    this.observer = new ResizeObserver(() => this.resize())
    this.observer.observe(stage)
  }

  end() {
    this.observer.disconnect()
    cancelAnimationFrame(this.frame)
  }

  resize() {
    const { width, height } = this.stage.getBoundingClientRect()
    if (!width || !height) return
    this.ratio = Math.min(2, window.devicePixelRatio || 1)
    this.camera.resize(width, height)
    for (const canvas of [this.canvases.beneath, this.canvases.above]) {
      canvas.width = Math.round(width * this.ratio)
      canvas.height = Math.round(height * this.ratio)
    }
    this.layer?.resize(width, height, this.ratio)
    if (this.scene.theme) this.drawNow()
  }

  invalidate({ pointsToo = true } = {}) {
    this.pointsStale ||= pointsToo
    this.frame ??= requestAnimationFrame(() => this.drawFrame())
  }

  // At once, whatever is still being drawn.
  drawNow() {
    cancelAnimationFrame(this.frame)
    this.isMoving = false
    this.isDrawing = false
    this.pointsStale = true
    this.drawFrame()
  }

  drawFrame() {
    this.frame = null
    if (!this.ratio || !this.layer) return
    if (this.pointsStale) this.drawPoints()
    this.drawBeneath()
    this.drawAbove()
    this.scene.root.dataset.view = this.camera.view.join(" ")
  }

  // The page goes on meanwhile: without a graphics card this can take most of a second.
  async drawPoints() {
    const { points: canvas } = this.canvases
    if (this.drawnFor && (this.isDrawing || (this.isMoving && this.cost > SLOW_MS))) {
      canvas.style.transform = this.camera.transformFrom(this.drawnFor)
      return
    }
    canvas.style.transform = ""
    this.drawnFor = this.camera.copy()
    this.pointsStale = false
    this.isDrawing = true
    const { onDrawn } = this
    const took = await this.layer.draw(this.camera, this.scene.theme)
    this.isDrawing = false
    this.cost = took
    this.drawings += 1
    Object.assign(this.scene.root.dataset, { cost: Math.round(took), drawings: this.drawings })
    if (onDrawn && this.onDrawn === onDrawn) {
      this.onDrawn = null
      onDrawn()
    }
    if (this.pointsStale && !this.isMoving) this.invalidate()
  }

  drawBeneath() {
    const { layer } = this
    const canvas = this.canvases.beneath
    const context = canvas.getContext("2d")
    context.clearRect(0, 0, canvas.width, canvas.height)
    if (!this.scene.data.contours || !layer.points) return
    this.contours ??= makeContours(layer.points, (place) => layer.isDrawn(place))
    drawContours(context, this.contours, this.camera, this.scene.theme, this.ratio)
  }

  drawAbove() {
    const canvas = this.canvases.above
    const context = canvas.getContext("2d")
    const { camera } = this
    const { theme } = this.scene
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.clearRect(0, 0, canvas.width, canvas.height)
    context.scale(this.ratio, this.ratio)
    this.scene.labels.draw(context, camera, theme)
    if (this.scene.selection) drawSelection(context, this.scene.selection.map((point) => camera.toScreen(...point)), theme, false)
    drawMarks(context, this.scene.marks, camera, theme)
    if (this.scene.sketch?.points.length > 1) {
      const { mode, points } = this.scene.sketch
      drawSelection(context, mode === "box" ? boxCorners(...points) : points, theme, mode === "lasso")
    }
    if (this.scene.hovered !== null && this.layer.points) this.drawHovered(context)
    if (this.scene.byKeys) this.drawCross(context)
  }

  drawHovered(context) {
    const [left, top] = this.scene.screenOf(this.scene.hovered)
    context.beginPath()
    context.arc(left, top, pointSize(this.layer.points.points, this.camera.zoom) / 2 + 4, 0, 2 * Math.PI)
    context.lineWidth = 4
    context.strokeStyle = this.scene.theme.background
    context.stroke()
    context.lineWidth = 2
    context.strokeStyle = this.scene.theme.text
    context.stroke()
  }

  drawCross(context) {
    const { width, height } = this.camera
    context.beginPath()
    for (const [right, down] of [[9, 0], [0, 9]]) {
      context.moveTo(width / 2 - right, height / 2 - down)
      context.lineTo(width / 2 + right, height / 2 + down)
    }
    context.lineWidth = 1.5
    context.strokeStyle = this.scene.theme.accent
    context.stroke()
  }
}
