// Listens to the buttons and links that HTML on the page carries as data-act; one component stands for all of them.
// A click with a modifier opens a link as usual. After a click the same control keeps the focus, though the HTML around
// it is drawn anew. "/" goes to the question.
export default function ({ parentElement, setTriggerValue }) {
  const root = parentElement.closest(".st-key-lab")
  if (!root) return
  root.onclick = (event) => {
    const control = event.target.closest("[data-act]")
    if (!control || control.disabled) return
    if (control.tagName === "A" && (event.ctrlKey || event.metaKey || event.shiftKey)) return
    event.preventDefault()
    const { act, chunk } = control.dataset
    if (act === "copy") {
      copy(location.href).then(() => say(control.lastElementChild ?? control, "Copied"))
      return
    }
    if (act === "why") {
      const box = root.querySelector(".st-key-lab-why")
      box?.scrollIntoView({ behavior: "smooth", block: "start" })
      if (!box?.querySelector("details")?.open) box?.querySelector("summary")?.click()
      return
    }
    hold(act, chunk)
    if (control.ariaPressed !== null) control.ariaPressed = String(control.ariaPressed !== "true")
    setTriggerValue("act", { act, chunk: Number(chunk), at: Date.now() })
  }
  root.ownerDocument.onkeydown = (event) => {
    const typing = event.target.closest?.("input, textarea, [contenteditable=true]")
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return
    const field = root.querySelector(".st-key-q input")
    if (!field || !root.isConnected) return
    event.preventDefault()
    field.focus()
    field.select()
  }
  return () => {
    root.onclick = null
    root.ownerDocument.onkeydown = null
  }

  function hold(act, chunk) {
    const watch = new MutationObserver(() => {
      if (document.activeElement && document.activeElement !== document.body) return
      root.querySelector(`[data-act="${act}"][data-chunk="${chunk}"]`)?.focus({ preventScroll: true })
    })
    watch.observe(root, { childList: true, subtree: true })
    setTimeout(() => watch.disconnect(), 3000)
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      // Without a secure origin there is no clipboard for scripts; a selected field still has one.
      const field = document.createElement("textarea")
      field.value = text
      document.body.append(field)
      field.select()
      document.execCommand("copy")
      field.remove()
    }
  }

  function say(control, words) {
    const before = control.textContent
    control.textContent = words
    setTimeout(() => (control.textContent = before), 1600)
  }
}
