// Listens to the buttons under questions and answers, which are HTML with data-act: one component stands for all of them.
// Copying happens here; everything else runs the page again. After a click the same control keeps the focus, though the
// HTML around it is drawn anew. "/" goes to the question.
export default function ({ parentElement, setTriggerValue }) {
  const root = parentElement.closest(".st-key-chat-thread")
  if (!root) return
  root.onclick = (event) => {
    const control = event.target.closest("[data-act]")
    if (!control || control.disabled || control.getAttribute("aria-disabled") === "true") return
    event.preventDefault()
    const { act, message, to } = control.dataset
    if (act === "copy") {
      copy(control.dataset.copy).then(() => say(control))
      return
    }
    hold(act, message, to)
    if (control.ariaPressed !== null) control.ariaPressed = String(control.ariaPressed !== "true")
    setTriggerValue("act", { act, message, to: to ?? null, at: Date.now() })
  }
  const page = root.ownerDocument
  page.onkeydown = (event) => {
    const typing = event.target.closest?.("input, textarea, [contenteditable=true]")
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey || !root.isConnected) return
    const field = page.querySelector('[data-testid="stChatInputTextArea"]')
    if (!field) return
    event.preventDefault()
    field.focus()
  }
  return () => {
    root.onclick = null
    page.onkeydown = null
  }

  // The thread itself may be another element afterwards.
  function hold(act, message, to) {
    const watch = new MutationObserver(() => {
      if (page.activeElement && page.activeElement !== page.body) return
      const find = (id) => page.querySelector(`.st-key-chat-thread [data-act="${act}"][data-message="${id}"]`)
      const field = act === "edit" ? page.querySelector(".st-key-chat-thread textarea") : null
      ;(field ?? find(message) ?? find(to))?.focus({ preventScroll: true })
    })
    watch.observe(page.body, { childList: true, subtree: true })
    setTimeout(() => watch.disconnect(), 10_000)
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      // Without a secure origin there is no clipboard for scripts; a selected field still has one.
      const field = page.createElement("textarea")
      field.value = text
      page.body.append(field)
      field.select()
      page.execCommand("copy")
      field.remove()
    }
  }

  function say(control) {
    const icon = control.querySelector(".cs-icon")
    if (!icon || control.dataset.said) return
    const [before, label] = [icon.textContent, control.ariaLabel]
    control.dataset.said = "1"
    icon.textContent = "check"
    control.ariaLabel = "Copied"
    control.focus({ preventScroll: true })
    setTimeout(() => {
      icon.textContent = before
      control.ariaLabel = label
      delete control.dataset.said
    }, 1600)
  }
}
