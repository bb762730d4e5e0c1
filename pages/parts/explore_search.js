// Search as one types: after a short pause the page hears what was typed, and the map dims what doesn't contain it.
export default function ({ parentElement, data, setTriggerValue }) {
  const input = parentElement.querySelector("input")
  const found = parentElement.querySelector(".cs-found")
  const clear = parentElement.querySelector("button")
  const PAUSE_MS = 260
  // What was typed meanwhile counts more than what the page says of before.
  const typing = document.activeElement === input && input.dataset.waiting
  const same = () => input.value.trim().replace(/\s+/g, " ") === data.text
  if (!typing && !same()) input.value = data.text
  if (same()) delete input.dataset.waiting
  found.textContent = same() ? data.found : "…"
  clear.hidden = !input.value
  input.oninput = () => {
    clear.hidden = !input.value
    input.dataset.waiting = "1"
    found.textContent = input.value ? "…" : ""
    clearTimeout(input.timer)
    input.timer = setTimeout(tell, PAUSE_MS)
  }
  input.onkeydown = (event) => {
    if (event.key === "Enter") tell()
    if (event.key === "Escape" && input.value) {
      event.stopPropagation()
      empty()
    }
  }
  clear.onclick = () => {
    empty()
    input.focus()
  }

  function empty() {
    input.value = ""
    tell()
  }

  function tell() {
    clearTimeout(input.timer)
    setTriggerValue("text", { text: input.value, at: Date.now() })
  }
}
