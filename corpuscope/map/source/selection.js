// A selection is a polygon in map units, within the map's square; a box is one with four corners.
import { EXTENT } from "./camera.js"
import { withAlpha } from "./colours.js"

const MOST_CORNERS = 200
const SMALLEST_AREA = 30

// What was drawn on the screen, as a polygon on the map; null if it holds nothing.
export function toPolygon(drawn, camera) {
  if (drawn.length < 3 || area(drawn) < SMALLEST_AREA) return null
  const step = Math.ceil(drawn.length / MOST_CORNERS)
  const corners = drawn.filter((_, index) => index % step === 0).map(([left, top]) => camera.toMap(left, top))
  const inside = clip(corners).map((point) => point.map(Math.round))
  return inside.length >= 3 ? inside : null
}

export function boxCorners([left, top], [right, bottom]) {
  return [[left, top], [right, top], [right, bottom], [left, bottom]]
}

function area(corners) {
  let doubled = 0
  corners.forEach(([x, y], index) => {
    const [nextX, nextY] = corners[(index + 1) % corners.length]
    doubled += x * nextY - nextX * y
  })
  return Math.abs(doubled) / 2
}

// Sutherland and Hodgman (1974), against the four sides of the square.
function clip(corners) {
  for (const [axis, bound, sign] of [[0, 0, 1], [0, EXTENT, -1], [1, 0, 1], [1, EXTENT, -1]]) {
    const isInside = (point) => sign * (point[axis] - bound) >= 0
    const kept = []
    corners.forEach((point, index) => {
      const former = corners.at(index - 1)
      if (isInside(point) !== isInside(former)) kept.push(crossing(former, point, axis, bound))
      if (isInside(point)) kept.push(point)
    })
    corners = kept
  }
  return corners
}

function crossing(from, to, axis, bound) {
  const share = (bound - from[axis]) / (to[axis] - from[axis])
  const point = [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]
  point[axis] = bound
  return point
}

// `corners` in CSS pixels.
export function drawSelection(context, corners, theme, isOpen) {
  if (corners.length < 2) return
  context.beginPath()
  corners.forEach(([left, top]) => context.lineTo(left, top))
  if (!isOpen) context.closePath()
  context.fillStyle = withAlpha(theme.accent, 0.1)
  context.fill("evenodd")
  context.setLineDash(isOpen ? [] : [6, 4])
  context.lineWidth = 1.75
  context.strokeStyle = theme.accent
  context.stroke()
  context.setLineDash([])
}
