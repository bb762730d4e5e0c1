// What a point says: fetched after a short rest over it, and kept, so that no text travels with the points.
const REST_MS = 110
const MOST_KEPT = 400

export class Tooltip {
  constructor(card, spoken) {
    this.card = card
    this.spoken = spoken
    this.kept = new Map()
    this.place = null
    this.address = ""
  }

  forget() {
    this.kept.clear()
    this.hide()
  }

  // `left` and `top` are where the point lies within the map, which is `width` wide and `height` high.
  show(place, [left, top], [width, height], { aloud = false } = {}) {
    this.position = { left, top, width, height }
    if (place === this.place) {
      this.arrange()
      return
    }
    this.hide()
    this.place = place
    const known = this.kept.get(place)
    if (known) this.fill(known, aloud)
    else this.timer = setTimeout(() => this.ask(place, aloud), REST_MS)
  }

  hide() {
    clearTimeout(this.timer)
    this.place = null
    this.card.hidden = true
  }

  async ask(place, aloud) {
    const address = this.address + place
    try {
      const response = await fetch(address, { credentials: "same-origin" })
      if (!response.ok) return
      const found = await response.json()
      if (this.kept.size >= MOST_KEPT) this.kept.delete(this.kept.keys().next().value)
      this.kept.set(place, found)
      if (this.place === place && address === this.address + place) this.fill(found, aloud)
    } catch (error) {
      console.warn("The text of a point could not be fetched.", error)
    }
  }

  fill(found, aloud) {
    const part = (name, text) => {
      const element = document.createElement("div")
      element.className = name
      element.textContent = text
      return element
    }
    const where = [found.heading, found.page && `page ${found.page}`, found.excluded && "excluded from search"]
    const lines = [part("title", found.title), part("where", where.filter(Boolean).join(" · ")), part("text", found.text)]
    this.card.replaceChildren(...lines.filter((line) => line.textContent))
    this.card.hidden = false
    if (aloud) this.spoken.textContent = `${found.title}. ${found.text}`
    this.arrange()
  }

  // Beside the point, and within the map.
  arrange() {
    if (this.card.hidden) return
    const { left, top, width, height } = this.position
    const { offsetWidth, offsetHeight } = this.card
    const beside = left + 16 + offsetWidth > width ? left - 16 - offsetWidth : left + 16
    const below = Math.min(top + 12, height - offsetHeight - 8)
    this.card.style.transform = `translate(${Math.max(8, beside)}px, ${Math.max(8, below)}px)`
  }
}
