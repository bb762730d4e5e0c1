// Where points lie densely: counted on a grid, smoothed, and outlined by d3-contour.
import { contours } from "d3-contour"
import { EXTENT } from "./camera.js"
import { withAlpha } from "./colours.js"

const SIDE = 128
const PAD = 8
const LEVELS = 7
const WIDTH = SIDE + 2 * PAD

// Paths in map units, from the lowest level to the highest.
export function makeContours(points, isDrawn) {
  const counts = count(points, isDrawn)
  for (let pass = 0; pass < 3; pass += 1) blur(counts)
  const highest = counts.reduce((most, value) => Math.max(most, value), 0)
  if (!highest) return []
  const thresholds = Array.from({ length: LEVELS }, (_, level) => highest * 0.02 * 40 ** (level / (LEVELS - 1)))
  const shapes = contours().size([WIDTH, WIDTH]).thresholds(thresholds)(counts)
  return shapes.map((shape) => toPath(shape.coordinates))
}

function count(points, isDrawn) {
  const counts = new Float32Array(WIDTH * WIDTH)
  const { x, y } = points
  for (let place = 0; place < points.count; place += 1) {
    if (isDrawn(place)) counts[((y[place] * SIDE) >> 16) * WIDTH + PAD * WIDTH + ((x[place] * SIDE) >> 16) + PAD] += 1
  }
  return counts
}

// A box of five cells, along both axes; three times over it is close to a Gaussian.
function blur(counts) {
  const former = new Float32Array(counts.length)
  for (const step of [1, WIDTH]) {
    former.set(counts)
    for (let at = 2 * step; at < counts.length - 2 * step; at += 1) {
      counts[at] = (former[at - 2 * step] + former[at - step] + former[at] + former[at + step] + former[at + 2 * step]) / 5
    }
  }
}

function toPath(polygons) {
  const path = new Path2D()
  const unit = (EXTENT + 1) / SIDE
  for (const rings of polygons) {
    for (const ring of rings) {
      ring.forEach(([column, row], index) => {
        const point = [(column - PAD) * unit, (row - PAD) * unit]
        if (index) path.lineTo(...point)
        else path.moveTo(...point)
      })
      path.closePath()
    }
  }
  return path
}

export function drawContours(context, paths, camera, theme, ratio) {
  const scale = camera.scale * ratio
  const [left, top] = camera.toScreen(0, 0)
  context.setTransform(scale, 0, 0, -scale, left * ratio, top * ratio)
  context.lineWidth = ratio / scale
  context.fillStyle = withAlpha(theme.text, theme.dark ? 0.035 : 0.03)
  context.strokeStyle = withAlpha(theme.text, 0.16)
  for (const path of paths) {
    context.fill(path, "evenodd")
    context.stroke(path)
  }
  context.setTransform(1, 0, 0, 1, 0, 0)
}
