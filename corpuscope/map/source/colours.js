// Colours by number: a table of 65,536 colours, small enough to send to the graphics card at every change.
export const NUMBERS = 65536
const NONE = -1

// How a theme draws; from the variables that Streamlit gives to components.
export function readTheme(element) {
  const style = getComputedStyle(element)
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise
  const background = read("--st-background-color", "#ffffff")
  const [red, green, blue] = parse(background)
  const dark = red * 0.299 + green * 0.587 + blue * 0.114 < 128
  return {
    dark,
    background,
    text: read("--st-text-color", dark ? "#e6ebf2" : "#1b2430"),
    border: read("--st-border-color", dark ? "#2c3644" : "#dde3ea"),
    accent: read("--st-primary-color", "#1f5fd0"),
    red: read("--st-red-color", "#d03b3b"),
    green: read("--st-green-color", "#178a5e"),
    orange: read("--st-orange-color", "#d9792b"),
    font: read("--st-font", "sans-serif"),
    plain: dark ? "#76849a" : "#9aa7b8",
  }
}

// The four bytes of each number; alpha 0 is a point that isn't drawn.
export function makeTable(colours, theme) {
  const bytes = new Uint8Array(4 * NUMBERS)
  const hidden = new Set(colours.hidden)
  const inks = (theme.dark ? colours.dark : colours.light).map(parse)
  const numbers = colours.by === "channel" && !colours.table.length ? identity() : colours.table
  bytes.set([...parse(theme.plain), hidden.has(NONE) ? 0 : 255])
  const whole = new Uint32Array(bytes.buffer)
  whole.fill(whole[0])
  for (let number = 0; number < numbers.length; number += 1) {
    const place = numbers[number]
    if (hidden.has(place)) bytes[4 * number + 3] = 0
    else if (place >= 0 && inks.length) bytes.set([...inks[place % inks.length], 255], 4 * number)
  }
  return bytes
}

export function readColours(sent) {
  const raw = Uint8Array.from(atob(sent.table), (letter) => letter.charCodeAt(0))
  return { ...sent, table: new Int16Array(raw.buffer) }
}

// 255 is a place of which nothing is known.
function identity() {
  return Int16Array.from({ length: 255 }, (_, number) => number)
}

export function parse(colour) {
  const digits = colour.replace("#", "")
  const full = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits
  if (/^[0-9a-f]{6}/i.test(full)) return [0, 2, 4].map((at) => Number.parseInt(full.slice(at, at + 2), 16))
  return (colour.match(/[\d.]+/g) ?? ["128", "128", "128"]).slice(0, 3).map(Number)
}

export function withAlpha(colour, alpha) {
  return `rgba(${parse(colour).join(", ")}, ${alpha})`
}
