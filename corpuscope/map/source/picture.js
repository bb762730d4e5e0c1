// What is seen, as a PNG: the layers of the map, with the title above and the legend beside them.
const LEGEND = 230
const LINE = 20
const EDGE = 16

// `layers` are canvases of the same size; `ratio` is their pixels per CSS pixel.
export function makePicture(layers, { frame, inks, theme, width, height, ratio }) {
  const legend = frame?.legend ?? []
  const head = frame?.title ? 40 : 0
  const full = [width + (legend.length ? LEGEND : 0), Math.max(height, legend.length * LINE + 2 * EDGE) + head]
  const canvas = document.createElement("canvas")
  canvas.width = Math.round(full[0] * ratio)
  canvas.height = Math.round(full[1] * ratio)
  const context = canvas.getContext("2d")
  context.fillStyle = theme.background
  context.fillRect(0, 0, canvas.width, canvas.height)
  for (const layer of layers) context.drawImage(layer, 0, head * ratio)
  context.scale(ratio, ratio)
  context.textBaseline = "middle"
  context.fillStyle = theme.text
  if (head) write(context, frame.title, EDGE, head / 2, `650 16px ${theme.font}`, full[0] - 2 * EDGE)
  legend.forEach((entry, index) => {
    const top = head + EDGE + (index + 0.5) * LINE
    context.fillStyle = inks[entry.number] ?? theme.plain
    context.beginPath()
    context.arc(width + 10, top, 5, 0, 2 * Math.PI)
    context.fill()
    context.fillStyle = theme.text
    write(context, entry.label, width + 24, top, `13px ${theme.font}`, LEGEND - 24 - EDGE)
  })
  return canvas
}

function write(context, text, left, top, font, widest) {
  context.font = font
  let shown = text
  while (shown.length > 1 && context.measureText(shown).width > widest) shown = `${shown.slice(0, -2).trimEnd()}…`
  context.fillText(shown, left, top)
}

export function download(canvas, name) {
  canvas.toBlob((blob) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(blob)
    link.download = `${name.replace(/[^\p{L}\p{N} _-]+/gu, "").trim() || "map"}.png`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  }, "image/png")
}
