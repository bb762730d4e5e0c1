// Listens to the app's own socket for hints that something has changed, and has the fragment around it run again.
// Hints are gathered: while a run that was asked for hasn't come back, no other is asked for. Where the socket fails,
// a slow timer takes its place until it is back.
const streams = new WeakMap()
const SLOW_MS = 5000
const LONGEST_PAUSE_MS = 30000
// A page that follows an answer doesn't run its fragments: ask again after that long.
const PATIENCE_MS = 10000
const REFUSED = 4403

export default function ({ parentElement, data, setStateValue }) {
  let stream = streams.get(parentElement)
  if (stream && stream.topics !== data.topics) {
    stream.end()
    stream = undefined
  }
  if (!stream) streams.set(parentElement, (stream = new Stream(data)))
  stream.update(data.seen, (count) => setStateValue("hints", count))
  return () => {
    streams.get(parentElement)?.end()
    streams.delete(parentElement)
  }
}

class Stream {
  constructor({ path, topics, after, seen }) {
    this.topics = topics
    this.path = path
    this.after = after
    this.asked = seen
    this.seen = seen
    this.askedAt = 0
    this.waiting = false
    this.tries = 0
    this.ended = false
    this.open()
  }

  update(seen, run) {
    this.seen = seen
    this.run = run
    if (seen >= this.asked && this.waiting) this.ask()
  }

  open() {
    const address = new URL(this.path, location.href)
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:"
    address.search = new URLSearchParams({ topics: this.topics, after: this.after })
    const socket = (this.socket = new WebSocket(address))
    socket.onopen = () => {
      this.opened = Date.now()
      clearInterval(this.timer)
      this.timer = undefined
    }
    socket.onmessage = () => this.hint()
    socket.onclose = (event) => {
      if (this.ended || this.socket !== socket) return
      if (this.opened && Date.now() - this.opened > LONGEST_PAUSE_MS) this.tries = 0
      this.opened = 0
      // Whatever is said meanwhile is missed: after the next connection the page looks in any case.
      this.after = ""
      this.timer ??= setInterval(() => this.hint(), SLOW_MS)
      if (event.code === REFUSED) this.hint()
      const pause = Math.min(LONGEST_PAUSE_MS, 500 * 2 ** this.tries++)
      this.again = setTimeout(() => this.open(), pause * (0.75 + Math.random() / 2))
    }
  }

  hint() {
    this.waiting = true
    if (this.seen >= this.asked || Date.now() - this.askedAt > PATIENCE_MS) this.ask()
  }

  ask() {
    this.waiting = false
    this.askedAt = Date.now()
    this.asked = Math.max(this.asked, this.seen) + 1
    this.run?.(this.asked)
  }

  end() {
    this.ended = true
    clearInterval(this.timer)
    clearTimeout(this.again)
    this.socket.close()
  }
}
