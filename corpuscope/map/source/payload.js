// The points as the server sends them: rag/mapping/payload.py says how they are laid out.
const MAGIC = [0x43, 0x53, 0x4d, 0x41, 0x50, 0, 0, 1]
export const HOLE = 65534
export const NO_NUMBER = 65535

export async function fetchPoints(address, signal) {
  return decode(await fetchBytes(address, signal))
}

// A server that is still starting is asked again for a while.
export async function fetchBytes(address, signal, tries = 20) {
  const response = await fetch(address, { signal, credentials: "same-origin" })
  if (response.status === 503 && tries > 0) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    return fetchBytes(address, signal, tries - 1)
  }
  if (!response.ok) throw new Error((await response.text()).slice(0, 300) || `The server answered ${response.status}.`)
  return response.arrayBuffer()
}

export function decode(buffer) {
  const start = new Uint8Array(buffer, 0, MAGIC.length)
  if (MAGIC.some((byte, index) => start[index] !== byte)) throw new Error("These are no points of a map.")
  const length = new DataView(buffer).getUint32(MAGIC.length, true)
  const begin = MAGIC.length + 4 + length
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, MAGIC.length + 4, length)))
  const n = header.places
  const column = (number) => new Uint16Array(buffer, begin + 2 * number * n, n)
  return {
    ...header,
    count: n,
    columns: new Uint8Array(buffer, begin, 8 * n),
    x: column(0),
    y: column(1),
    leaf: column(2),
    document: column(3),
  }
}
