// All points in one call to WebGL2. Recolouring, hiding and dimming change a table or one byte a point, never the points.
import { clamp } from "./camera.js"
import { parse } from "./colours.js"
import { HOLE } from "./payload.js"
import { FRAGMENT, VERTEX } from "./shaders.js"

const BY = { leaf: 0, document: 1, channel: 2 }
const SIDE = 256
const LOCATION = { channel: 4, lit: 5 }
const UNIFORMS = ["middle", "scale", "by", "part", "size", "opacity", "faint", "colours"]

export class PointsLayer {
  // `onRestored` is called when a lost graphics context came back. Throws where there is no WebGL2.
  constructor(canvas, onRestored) {
    this.canvas = canvas
    this.gl = canvas.getContext("webgl2", { antialias: false, depth: false, powerPreference: "high-performance" })
    if (!this.gl) throw new Error("no WebGL2")
    this.points = null
    this.bytes = { channel: null, lit: null }
    this.table = new Uint8Array(4 * SIDE * SIDE)
    this.by = "leaf"
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault())
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare()
      onRestored()
    })
    this.prepare()
  }

  // Everything that lives on the graphics card, made from what is kept here.
  prepare() {
    const { gl } = this
    const program = gl.createProgram()
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind)
      gl.shaderSource(shader, text)
      gl.compileShader(shader)
      gl.attachShader(program, shader)
    }
    gl.linkProgram(program)
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program) || "The points can't be drawn here.")
    }
    gl.useProgram(program)
    this.at = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)]))
    gl.enable(gl.BLEND)
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
    this.buffers = { points: gl.createBuffer(), channel: gl.createBuffer(), lit: gl.createBuffer() }
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture())
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST)
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST)
    this.sendTable()
    if (this.points) this.sendPoints()
    this.sendBytes("channel")
    this.sendBytes("lit")
  }

  setPoints(points) {
    this.points = points
    this.sendPoints()
  }

  // One byte a place, or null; `lit` 0 is dimmed.
  setBytes(name, bytes) {
    this.bytes[name] = bytes
    this.sendBytes(name)
  }

  setTable(by, table) {
    this.by = by
    this.table = table
    this.sendTable()
  }

  sendPoints() {
    const { gl } = this
    const n = this.points.count
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers.points)
    gl.bufferData(gl.ARRAY_BUFFER, this.points.columns, gl.STATIC_DRAW)
    for (const column of [0, 1, 2, 3]) {
      gl.enableVertexAttribArray(column)
      if (column < 2) gl.vertexAttribPointer(column, 1, gl.UNSIGNED_SHORT, false, 2, 2 * column * n)
      else gl.vertexAttribIPointer(column, 1, gl.UNSIGNED_SHORT, 2, 2 * column * n)
    }
  }

  sendBytes(name) {
    const { gl } = this
    const location = LOCATION[name]
    const bytes = this.bytes[name]
    if (!bytes) {
      gl.disableVertexAttribArray(location)
      gl.vertexAttribI4ui(location, 255, 0, 0, 1)
      return
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name])
    gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.DYNAMIC_DRAW)
    gl.enableVertexAttribArray(location)
    gl.vertexAttribIPointer(location, 1, gl.UNSIGNED_BYTE, 1, 0)
  }

  sendTable() {
    const { gl } = this
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, SIDE, SIDE, 0, gl.RGBA, gl.UNSIGNED_BYTE, this.table)
  }

  resize(width, height, ratio) {
    this.canvas.width = Math.max(1, Math.round(width * ratio))
    this.canvas.height = Math.max(1, Math.round(height * ratio))
    this.ratio = ratio
  }

  // Asks for the drawing; the promise says in how many ms it was made.
  draw(camera, theme) {
    const begun = performance.now()
    this.issue(camera, theme)
    return this.finished(begun)
  }

  issue(camera, theme) {
    const { gl } = this
    if (gl.isContextLost()) return
    gl.viewport(0, 0, this.canvas.width, this.canvas.height)
    gl.clearColor(0, 0, 0, 0)
    gl.clear(gl.COLOR_BUFFER_BIT)
    if (!this.points?.count) return
    gl.uniform2f(this.at.middle, camera.x, camera.y)
    gl.uniform2f(this.at.scale, (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height)
    gl.uniform1i(this.at.by, BY[this.by])
    gl.uniform1f(this.at.size, pointSize(this.points.points, camera.zoom) * this.ratio)
    gl.uniform1f(this.at.opacity, pointOpacity(this.points.points, camera.zoom))
    gl.uniform4f(this.at.faint, ...parse(theme.plain).map((part) => part / 255), theme.dark ? 0.22 : 0.2)
    for (const part of this.bytes.lit ? [1, 2] : [0]) {
      gl.uniform1i(this.at.part, part)
      gl.drawArrays(gl.POINTS, 0, this.points.count)
    }
  }

  finished(begun) {
    const { gl } = this
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0)
    gl.flush()
    return new Promise((resolve) => {
      const look = () => {
        const done = gl.isContextLost() || gl.getSyncParameter(fence, gl.SYNC_STATUS) === gl.SIGNALED
        if (!done) {
          setTimeout(look, 4)
          return
        }
        gl.deleteSync(fence)
        resolve(performance.now() - begun)
      }
      setTimeout(look)
    })
  }

  // Whether a place has a point, and one that is drawn.
  isDrawn(place) {
    const { points, by } = this
    if (points.leaf[place] === HOLE) return false
    const number = by === "channel" ? (this.bytes.channel?.[place] ?? 255) : points[by][place]
    return this.table[4 * number + 3] > 0
  }

  isLit(place) {
    return !this.bytes.lit || this.bytes.lit[place] > 0
  }
}

// In CSS pixels: few points are drawn large, and all of them larger the closer one looks.
export function pointSize(count, zoom) {
  const digits = Math.log10(Math.max(10, count))
  return clamp(Math.max(7.4 - digits, 11 - 1.9 * digits) * zoom ** 0.34, 1.2, 12)
}

function pointOpacity(count, zoom) {
  return clamp(1.16 - 0.115 * Math.log10(Math.max(10, count)) + 0.05 * Math.log2(zoom), 0.4, 0.92)
}
