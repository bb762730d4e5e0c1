// One sentence over the map, with at most one thing to do about it.
export class Notice {
  constructor(element) {
    this.element = element
  }

  // An empty sentence takes the notice away.
  show(sentence, next = null) {
    this.element.replaceChildren()
    this.element.hidden = !sentence
    if (!sentence) return
    const words = document.createElement("p")
    words.textContent = sentence
    this.element.append(words)
    if (!next) return
    const button = document.createElement("button")
    button.type = "button"
    button.textContent = next.text
    button.onclick = next.act
    this.element.append(button)
  }
}
