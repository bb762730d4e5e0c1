// The buttons on the map. They do nothing that keys and gestures can't.
const ICONS = {
  pan: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  lasso: "M7 18c-3-1-4-4-3-8 1-4 6-6 10-5 5 1 7 4 6 8-1 3-5 5-9 4-2 0-3 1-3 2s1 2 2 2",
  box: "M4 5h2M9 5h2M14 5h2M19 5h1v2M20 10v2M20 15v2M20 19h-2M15 19h-2M10 19H8M5 19H4v-2M4 14v-2M4 9V7",
  "zoom in": "M12 5v14M5 12h14",
  "zoom out": "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  clear: "M6 6l12 12M18 6L6 18",
  picture: "M12 4v11M8 11l4 4 4-4M5 20h14",
}

const BUTTONS = [
  ["pan", "Move the map (H). Drag to move, scroll to zoom.", "mode"],
  ["lasso", "Select with a lasso (L). Or hold Shift and drag.", "mode"],
  ["box", "Select with a box (B). Or hold Shift and Alt and drag.", "mode"],
  ["clear", "Clear the selection (Esc)", "act"],
  ["zoom in", "Zoom in (+)", "act"],
  ["zoom out", "Zoom out (−)", "act"],
  ["fit", "Show everything (Home)", "act"],
  ["picture", "Download what is seen as a picture (PNG)", "act"],
]

export class Toolbar {
  constructor(element, { setMode, act }) {
    this.buttons = new Map()
    for (const [name, title, kind] of BUTTONS) {
      const button = document.createElement("button")
      button.type = "button"
      button.title = title
      button.ariaLabel = title
      button.dataset.does = name
      button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`
      button.onclick = () => (kind === "mode" ? setMode(name) : act(name))
      element.append(button)
      this.buttons.set(name, button)
    }
  }

  show({ mode, hasSelection }) {
    for (const name of ["pan", "lasso", "box"]) this.buttons.get(name).ariaPressed = String(name === mode)
    this.buttons.get("clear").hidden = !hasSelection
  }
}
