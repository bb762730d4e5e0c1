// The legend: a row a category. A click hides or shows it, "only" or a click with Alt leaves it alone on the map. Arrows
// go from row to row, right to "only". The rows answer at once; the page hears of it and draws the map.
export default function ({ parentElement, data, setTriggerValue }) {
  const list = parentElement.querySelector(".cs-legend")
  if (list.dataset.version !== data.version) draw()
  let hidden = new Set(data.hidden)
  mark()
  list.onclick = (event) => {
    const row = event.target.closest("[data-number]")
    if (!row) return
    const number = Number(row.dataset.number)
    const alone = event.target.closest(".cs-only") || event.altKey
    if (alone) isolate(number)
    else if (hidden.has(number)) hidden.delete(number)
    else hidden.add(number)
    mark()
    tell()
  }
  list.onkeydown = (event) => {
    const row = event.target.closest("[data-number]")
    if (!row) return
    const goal = {
      ArrowDown: row.nextElementSibling?.firstElementChild,
      ArrowUp: row.previousElementSibling?.firstElementChild,
      Home: list.firstElementChild.firstElementChild,
      End: list.lastElementChild.firstElementChild,
      ArrowRight: row.lastElementChild,
      ArrowLeft: row.firstElementChild,
    }[event.key]
    if (!goal) return
    event.preventDefault()
    for (const one of list.querySelectorAll('[tabindex="0"]')) one.tabIndex = -1
    goal.tabIndex = 0
    goal.focus()
  }
  const all = parentElement.querySelector(".cs-all")
  all.onclick = () => {
    hidden = new Set()
    mark()
    tell()
  }

  function isolate(number) {
    const others = data.entries.map((entry) => entry.number).filter((one) => one !== number)
    const alone = !hidden.has(number) && others.every((one) => hidden.has(one))
    hidden = new Set(alone ? [] : others)
  }

  function tell() {
    setTriggerValue("hidden", { hidden: [...hidden], at: Date.now() })
  }

  function mark() {
    for (const row of list.children) {
      const off = hidden.has(Number(row.dataset.number))
      row.classList.toggle("cs-off", off)
      row.firstElementChild.setAttribute("aria-pressed", String(!off))
    }
    parentElement.querySelector(".cs-all").hidden = hidden.size === 0
    const shown = data.entries.filter((entry) => !hidden.has(entry.number)).length
    parentElement.querySelector(".cs-legend-head span").textContent =
      hidden.size === 0 ? data.title : `${shown} of ${data.entries.length} shown`
  }

  function draw() {
    list.dataset.version = data.version
    const most = Math.max(1, ...data.entries.map((entry) => entry.count))
    list.replaceChildren(
      ...data.entries.map((entry, place) => {
        const row = element("li", "cs-entry")
        row.dataset.number = entry.number
        row.style.setProperty("--cs-colour", `light-dark(${entry.light}, ${entry.dark})`)
        row.style.setProperty("--cs-share", `${(100 * entry.count) / most}%`)
        const toggle = element("button", "cs-toggle")
        toggle.type = "button"
        toggle.tabIndex = place ? -1 : 0
        toggle.title = entry.label
        toggle.append(element("i", "cs-swatch"), element("span", "cs-name", entry.label))
        toggle.append(element("span", "cs-count", entry.count.toLocaleString("en")))
        const only = element("button", "cs-only", "only")
        only.type = "button"
        only.tabIndex = -1
        only.setAttribute("aria-label", `Show only ${entry.label}`)
        row.append(toggle, only)
        return row
      }),
    )
  }

  function element(tag, name, text = "") {
    const made = document.createElement(tag)
    made.className = name
    made.textContent = text
    return made
  }
}
