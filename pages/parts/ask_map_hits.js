// The list of hits and the map beside it: what the pointer or the focus is on in the list is shown on the map, by an event
// that the map listens to. A click on a link opens the passage within this tab's session; with a modifier as usual.
export default function ({ parentElement, setTriggerValue }) {
  const list = parentElement.closest(".st-key-ask-map-hits")
  if (!list) return
  let shown = null
  const point = (event) => tell(event.target.closest?.("[data-place]")?.dataset.place ?? null)
  const leave = () => tell(null)
  list.onpointerover = point
  list.onpointerleave = leave
  list.addEventListener("focusout", leave)
  list.addEventListener("focusin", point)
  list.onclick = (event) => {
    const link = event.target.closest("a[data-chunk]")
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return
    event.preventDefault()
    setTriggerValue("open", { chunk: Number(link.dataset.chunk), at: Date.now() })
  }
  return () => {
    leave()
    list.onpointerover = list.onpointerleave = list.onclick = null
    list.removeEventListener("focusout", leave)
    list.removeEventListener("focusin", point)
  }

  function tell(place) {
    if (place === shown) return
    shown = place
    document.dispatchEvent(
      new CustomEvent("corpuscope:point", { detail: { place: place === null ? null : Number(place) } }),
    )
  }
}
