// Where one looks: the middle in map units, and how many times the whole map is enlarged. At zoom 1 its square just fits.
export const EXTENT = 65535
const MARGIN = 0.92
const SMALLEST = 0.5
const LARGEST = 4096

export class Camera {
  constructor() {
    this.width = 1
    this.height = 1
    this.fit()
  }

  // CSS pixels per map unit, the same on both axes; y grows upwards on the map.
  get scale() {
    return ((Math.min(this.width, this.height) * MARGIN) / EXTENT) * this.zoom
  }

  get view() {
    return [Math.round(this.x), Math.round(this.y), Number(this.zoom.toPrecision(4))]
  }

  set view([x, y, zoom]) {
    this.x = clamp(x, 0, EXTENT)
    this.y = clamp(y, 0, EXTENT)
    this.zoom = clamp(zoom, SMALLEST, LARGEST)
  }

  fit() {
    this.view = [EXTENT / 2, EXTENT / 2, 1]
  }

  resize(width, height) {
    this.width = Math.max(1, width)
    this.height = Math.max(1, height)
  }

  toScreen(x, y) {
    const scale = this.scale
    return [this.width / 2 + (x - this.x) * scale, this.height / 2 - (y - this.y) * scale]
  }

  toMap(left, top) {
    const scale = this.scale
    return [this.x + (left - this.width / 2) / scale, this.y - (top - this.height / 2) / scale]
  }

  panBy(right, down) {
    const scale = this.scale
    this.view = [this.x - right / scale, this.y + down / scale, this.zoom]
  }

  // What lies under the pointer stays under it.
  zoomAt(left, top, factor) {
    const [x, y] = this.toMap(left, top)
    this.zoom = clamp(this.zoom * factor, SMALLEST, LARGEST)
    const [movedX, movedY] = this.toMap(left, top)
    this.view = [this.x + x - movedX, this.y + y - movedY, this.zoom]
  }

  // The CSS transform that moves a picture drawn for `former` to where it belongs now.
  transformFrom(former) {
    const grown = this.scale / former.scale
    const [left, top] = this.toScreen(...former.toMap(0, 0))
    return `translate(${left}px, ${top}px) scale(${grown})`
  }

  copy() {
    return Object.assign(new Camera(), this)
  }
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value))
}
