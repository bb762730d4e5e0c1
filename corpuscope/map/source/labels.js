// Labels that don't overlap: the larger cluster's comes first, and more of them fit the closer one looks.
const LONGEST_LINE = 24
const GAP = 4

export class Labels {
  constructor() {
    this.all = []
    this.widths = new Map()
  }

  set(sent) {
    const most = Math.max(1, ...sent.map((label) => label[3]))
    this.all = sent
      .map(([x, y, text, points]) => ({ x, y, lines: breakLines(text), size: 11 + 4 * Math.sqrt(points / most), points }))
      .sort((one, other) => other.points - one.points)
  }

  // Those that can be shown: [label, left, top of its middle].
  place(context, camera, font) {
    const taken = []
    for (const label of this.all) {
      const [left, top] = camera.toScreen(label.x, label.y)
      const box = this.box(context, label, left, top, font)
      if (taken.every((other) => apart(box, other.box))) taken.push({ label, left, top, box })
    }
    return taken
  }

  box(context, label, left, top, font) {
    const width = Math.max(...label.lines.map((line) => this.measure(context, line, label.size, font)))
    const height = label.lines.length * label.size * 1.2
    return [left - width / 2 - GAP, top - height / 2 - GAP, left + width / 2 + GAP, top + height / 2 + GAP]
  }

  measure(context, line, size, font) {
    const key = `${size.toFixed(1)} ${font} ${line}`
    if (!this.widths.has(key)) {
      context.font = `600 ${size.toFixed(1)}px ${font}`
      this.widths.set(key, context.measureText(line).width)
    }
    return this.widths.get(key)
  }

  draw(context, camera, theme) {
    context.textAlign = "center"
    context.textBaseline = "middle"
    context.lineJoin = "round"
    context.lineWidth = 4
    context.strokeStyle = theme.background
    context.fillStyle = theme.text
    for (const { label, left, top } of this.place(context, camera, theme.font)) {
      context.font = `600 ${label.size.toFixed(1)}px ${theme.font}`
      label.lines.forEach((line, index) => {
        const at = top + (index - (label.lines.length - 1) / 2) * label.size * 1.2
        context.strokeText(line, left, at)
        context.fillText(line, left, at)
      })
    }
  }
}

function apart(one, other) {
  return one[2] < other[0] || other[2] < one[0] || one[3] < other[1] || other[3] < one[1]
}

function breakLines(text) {
  const words = text.trim().split(/\s+/)
  const lines = [""]
  for (const word of words) {
    const last = lines[lines.length - 1]
    if (last && last.length + word.length >= LONGEST_LINE) lines.push(word)
    else lines[lines.length - 1] = last ? `${last} ${word}` : word
  }
  const shown = lines.slice(0, 2)
  if (lines.length > 2) shown[1] += "…"
  return shown
}
