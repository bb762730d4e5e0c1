// What Streamlit calls when the component appears, at each run that changes its data, and when the theme changes.
import { MapView } from "./map_view.js"

const maps = new WeakMap()

export default function ({ parentElement, data, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".cs-map")
  if (!maps.has(parentElement)) maps.set(parentElement, new MapView(root))
  maps.get(parentElement).update(data, { setStateValue, setTriggerValue })
  return () => {
    maps.get(parentElement)?.end()
    maps.delete(parentElement)
  }
}
