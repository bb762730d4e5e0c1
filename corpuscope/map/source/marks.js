// What a question, an answer or an evaluation puts on top of the points.
import { parse } from "./colours.js"

const ORDER = ["missed", "found", "cut", "star", "hit", "cited"]
const RADIUS = { missed: 6, found: 6, cut: 9, hit: 10, cited: 10, star: 13 }

export function sortMarks(marks) {
  return [...marks].sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind))
}

// The mark under the pointer that leads to a point, the topmost first.
export function markAt(marks, camera, left, top) {
  return marks.findLast((mark) => {
    const [x, y] = camera.toScreen(mark.x, mark.y)
    return mark.place !== null && Math.hypot(x - left, y - top) <= RADIUS[mark.kind] + 2
  })
}

export function drawMarks(context, marks, camera, theme) {
  for (const mark of marks) {
    const [left, top] = camera.toScreen(mark.x, mark.y)
    if (left > -20 && top > -20 && left < camera.width + 20 && top < camera.height + 20) {
      DRAW[mark.kind]?.(context, left, top, mark, theme)
    }
  }
}

const DRAW = {
  star: (context, left, top, mark, theme) => {
    star(context, left, top, RADIUS.star)
    fill(context, "#ffb000", theme.background, 2.5)
    context.lineWidth = 1
    context.strokeStyle = "#7a5200"
    context.stroke()
    write(context, mark.text, left, top + RADIUS.star + 10, theme.text, theme, theme.background)
  },
  hit: (context, left, top, mark, theme) => {
    disc(context, left, top, RADIUS.hit)
    fill(context, theme.accent, theme.background, 2)
    write(context, mark.text, left, top + 0.5, inkOn(theme.accent), theme)
  },
  cited: (context, left, top, mark, theme) => {
    disc(context, left, top, RADIUS.cited + 5)
    context.lineWidth = 3
    context.strokeStyle = theme.orange
    context.stroke()
    DRAW.hit(context, left, top, mark, theme)
  },
  cut: (context, left, top, mark, theme) => {
    disc(context, left, top, RADIUS.cut)
    context.lineWidth = 4
    context.strokeStyle = theme.background
    context.stroke()
    context.lineWidth = 1.75
    context.strokeStyle = theme.accent
    context.stroke()
    write(context, mark.text, left, top + 0.5, theme.text, theme, theme.background)
  },
  missed: (context, left, top, mark, theme) => {
    disc(context, left, top, RADIUS.missed)
    fill(context, theme.red, theme.background, 2)
    write(context, mark.text, left, top - 14, theme.red, theme, theme.background)
    cross(context, left, top, 2.5)
  },
  found: (context, left, top, mark, theme) => {
    disc(context, left, top, RADIUS.found)
    fill(context, theme.green, theme.background, 2)
    write(context, mark.text, left, top - 14, theme.green, theme, theme.background)
  },
}

function disc(context, left, top, radius) {
  context.beginPath()
  context.arc(left, top, radius, 0, 2 * Math.PI)
}

function star(context, left, top, radius) {
  context.beginPath()
  for (let corner = 0; corner < 10; corner += 1) {
    const reach = corner % 2 ? radius * 0.45 : radius
    const angle = (corner * Math.PI) / 5 - Math.PI / 2
    context.lineTo(left + reach * Math.cos(angle), top + reach * Math.sin(angle))
  }
  context.closePath()
}

// Missed is told from found by its shape too, not by its colour alone.
function cross(context, left, top, reach) {
  context.beginPath()
  for (const turn of [1, -1]) {
    context.moveTo(left - reach, top - reach * turn)
    context.lineTo(left + reach, top + reach * turn)
  }
  context.lineWidth = 1.6
  context.strokeStyle = "#ffffff"
  context.stroke()
}

function fill(context, colour, halo, width) {
  context.lineWidth = 2 * width
  context.strokeStyle = halo
  context.stroke()
  context.fillStyle = colour
  context.fill()
}

function write(context, text, left, top, colour, theme, halo) {
  if (!text) return
  context.font = `650 ${text.length > 2 ? 9 : 11}px ${theme.font}`
  context.textAlign = "center"
  context.textBaseline = "middle"
  context.lineJoin = "round"
  if (halo) {
    context.lineWidth = 3
    context.strokeStyle = halo
    context.strokeText(text, left, top)
  }
  context.fillStyle = colour
  context.fillText(text, left, top)
}

function inkOn(colour) {
  const [red, green, blue] = parse(colour)
  return red * 0.299 + green * 0.587 + blue * 0.114 > 150 ? "#111111" : "#ffffff"
}
