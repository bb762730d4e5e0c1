// Draws segments with textContent only, so that nothing of a document becomes markup. Reports the selected span in
// code points of the document's text.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".cs-doc")
  if (!root || !data) return
  if (root.dataset.version !== data.version) {
    root.replaceChildren(...data.segments.flatMap(nodesOf))
    root.dataset.version = data.version
    setTimeout(showFocus, 60)
  }
  root.onmouseup = root.onkeyup = () => setTimeout(report, 0)
  root.onclick = (event) => {
    const label = event.target.closest(".cs-chunk")
    if (label) send(Number(label.dataset.start), Number(label.dataset.end))
  }

  // Only the text scrolls; the page around it stays where it is.
  function showFocus() {
    const target = root.querySelector(".cs-focus")
    if (!target) {
      root.scrollTop = 0
      return
    }
    const distance = target.getBoundingClientRect().top - root.getBoundingClientRect().top
    root.scrollTop += distance - root.clientHeight / 4
  }

  function nodesOf(segment) {
    const nodes = []
    if (segment.page !== undefined) nodes.push(make("div", "cs-page", { label: `Page ${segment.page}` }))
    if (segment.chunk) nodes.push(chunkLabel(segment.chunk))
    const span = make("span", "cs-run", { offset: segment.start })
    span.textContent = segment.text
    if (segment.focus) span.classList.add("cs-focus")
    if (segment.excluded) span.classList.add("cs-excluded")
    if (segment.tags) {
      span.classList.add("cs-tagged")
      span.title = segment.tags.join(", ")
    }
    nodes.push(span)
    return nodes
  }

  function chunkLabel(chunk) {
    const state = chunk.excluded ? " · left out" : chunk.embedded ? "" : " · not embedded yet"
    const label = make("button", "cs-chunk", {
      start: chunk.start, end: chunk.end,
      label: `Chunk ${chunk.number}${chunk.heading ? " · " + chunk.heading : ""}${state}`,
    })
    label.type = "button"
    label.setAttribute("aria-label", `Select chunk ${chunk.number}`)
    label.title = `Select chunk ${chunk.number}: ${chunk.tokens} tokens`
    return label
  }

  function make(tag, className, dataset) {
    const node = document.createElement(tag)
    node.className = className
    Object.assign(node.dataset, dataset)
    return node
  }

  function report() {
    const selection = window.getSelection()
    if (!selection || selection.rangeCount === 0 || selection.isCollapsed) {
      if (root.dataset.sent) send(null, null)
      return
    }
    const range = selection.getRangeAt(0)
    if (!root.contains(range.commonAncestorContainer)) return
    const start = offsetOf(range.startContainer, range.startOffset, false)
    const end = offsetOf(range.endContainer, range.endOffset, true)
    if (start !== null && end !== null && end > start) send(start, end)
  }

  function offsetOf(node, offset, isEnd) {
    const run = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest(".cs-run")
    if (run && node.nodeType === Node.TEXT_NODE)
      return Number(run.dataset.offset) + [...node.textContent.slice(0, offset)].length
    // Between runs: the nearest run after the point, or for an end the one before it.
    const point = document.createRange()
    point.setStart(node, offset)
    const runs = [...root.querySelectorAll(".cs-run")]
    const near = isEnd
      ? runs.filter((r) => point.comparePoint(r, 0) < 0).pop()
      : runs.find((r) => point.comparePoint(r, 0) >= 0)
    if (!near) return null
    return Number(near.dataset.offset) + (isEnd ? [...near.textContent].length : 0)
  }

  function send(start, end) {
    const key = start === null ? "" : `${start}-${end}`
    if (root.dataset.sent === key) return
    root.dataset.sent = key
    setTriggerValue("selected", start === null ? { start: -1, end: -1 } : { start, end })
  }
}
