// Which point lies nearest: places sorted into the cells of a grid, once.
import { EXTENT } from "./camera.js"
import { HOLE } from "./payload.js"

export class Grid {
  constructor(points) {
    this.points = points
    this.side = Math.max(8, Math.min(512, Math.round(Math.sqrt(points.count / 4))))
    this.cell = (EXTENT + 1) / this.side
    this.sort()
  }

  sort() {
    const { x, y, leaf, count } = this.points
    const starts = new Uint32Array(this.side * this.side + 1)
    const cells = new Uint32Array(count)
    for (let place = 0; place < count; place += 1) {
      cells[place] = Math.floor(y[place] / this.cell) * this.side + Math.floor(x[place] / this.cell)
      if (leaf[place] !== HOLE) starts[cells[place] + 1] += 1
    }
    for (let at = 1; at < starts.length; at += 1) starts[at] += starts[at - 1]
    const next = starts.slice()
    this.places = new Uint32Array(starts[starts.length - 1])
    for (let place = 0; place < count; place += 1) {
      if (leaf[place] !== HOLE) {
        this.places[next[cells[place]]] = place
        next[cells[place]] += 1
      }
    }
    this.starts = starts
  }

  // The nearest place within `reach` map units for which `accepts` is true; null if there is none.
  nearest(x, y, reach, accepts) {
    const low = (value) => Math.max(0, Math.floor((value - reach) / this.cell))
    const high = (value) => Math.min(this.side - 1, Math.floor((value + reach) / this.cell))
    let best = null
    let closest = reach * reach
    for (let row = low(y); row <= high(y); row += 1) {
      const begin = this.starts[row * this.side + low(x)]
      const end = this.starts[row * this.side + high(x) + 1]
      for (let at = begin; at < end; at += 1) {
        const place = this.places[at]
        const distance = (this.points.x[place] - x) ** 2 + (this.points.y[place] - y) ** 2
        if (distance <= closest && accepts(place)) {
          closest = distance
          best = place
        }
      }
    }
    return best
  }
}
