// Watch a conversation of Corpuscope live: index.html?url=<project>&key=<publishable key>&chat=<id>.
//
// Rows are the truth: they are read once the channel is open, and again whenever a broadcast doesn't fit on to what is
// here. Broadcasts carry what is added, so an audience of thousands reads the rows once each, not at every word.

const FINAL = new Set(["complete", "failed", "stopped"]);
const WORDS = {
  queued: "Waits for its turn…",
  analyzing: "Reads the question…",
  retrieving: "Searches…",
  generating: "Writes…",
  failed: "No answer.",
  stopped: "Stopped.",
};
const LOOK_ANYWAY_MS = 30_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
const given = new URLSearchParams(location.search);
const chat = given.get("chat");
const project = supabase.createClient(given.get("url"), given.get("key"), { db: { schema: "api" } });

/** Messages by id: {id, parent, position, role, name, phase, detail, attempt, content, error}. */
const messages = new Map();
const element = (id) => document.getElementById(id);
/** Positions count characters as Python and Postgres do, not JavaScript's halves of them. */
const characters = (text) => Array.from(text ?? "");
let due = null;

element("door").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const { error } = await project.auth.signInWithPassword({ email: form.get("email"), password: form.get("password") });
  if (error) return say(`That did not work: ${error.message}`);
  element("door").hidden = true;
  watch();
});

// Who is signed in already goes on watching.
const { data } = await project.auth.getSession();
if (data.session) {
  element("door").hidden = true;
  watch();
}

function watch() {
  follow();
  setInterval(load, LOOK_ANYWAY_MS * (0.75 + Math.random() / 2));
}

/** Realtime hangs up on everybody when there are more messages than the plan allows: not all may come back at once. */
function follow(closed = 0) {
  let over = false;
  let opened = null;
  const channel = project
    .channel(`chat:${chat}`, { config: { private: true } })
    .on("broadcast", { event: "message" }, ({ payload }) => take(payload))
    .on("broadcast", { event: "changed" }, ({ payload }) => notice(payload))
    .on("broadcast", { event: "presence" }, ({ payload }) => greet(payload))
    .subscribe((state) => {
      if (state === "SUBSCRIBED") {
        opened = Date.now();
        return closed ? loadSoon() : load();
      }
      if (over) return;
      say("Not connected; this page looks every half minute until it is.");
      // The client renews tokens and mends connections itself, but leaves a channel that the server closed closed.
      if (state !== "CLOSED") return;
      over = true;
      project.removeChannel(channel);
      const again = opened && Date.now() - opened > LONGEST_PAUSE_MS ? 1 : closed + 1;
      const pause = Math.min(FIRST_PAUSE_MS * 2 ** (again - 1), LONGEST_PAUSE_MS);
      setTimeout(() => follow(again), pause * (0.5 + Math.random()));
    });
}

/** All there is, from the rows. */
async function load() {
  due = null;
  const [head, found] = await Promise.all([
    project.from("chats").select("title").eq("id", chat).maybeSingle(),
    project
      .from("messages")
      .select("id, parent:parent_id, position, role, phase, content, error")
      .eq("chat_id", chat)
      .order("position"),
  ]);
  if (head.error || found.error) return say(`The conversation can't be read: ${(head.error ?? found.error).message}`);
  if (!head.data) return leave();
  element("title").textContent = head.data.title;
  const before = new Map(messages);
  messages.clear();
  for (const row of found.data) messages.set(row.id, merged(before.get(row.id), row));
  say("Live");
  draw();
}

/** A row, unless what was broadcast meanwhile is further. */
function merged(known, row) {
  const behind = known && !FINAL.has(row.phase) && characters(known.content).length > characters(row.content).length;
  return { ...known, ...row, content: behind ? known.content : row.content };
}

/** The same a little later, once, each page at a moment of its own: thousands hear of a change at once. */
function loadSoon(within = 1500) {
  due ??= setTimeout(load, 200 + Math.random() * within);
}

/** A broadcast about one message. */
function take(said) {
  const known = messages.get(said.message);
  const message = { ...known, ...said, id: said.message };
  if (said.left_out) {
    message.content = known?.content ?? "";
    loadSoon(FINAL.has(said.phase) ? 1500 : 6000);
  } else if (said.content === undefined) {
    message.content = grown(known, said);
  }
  messages.set(message.id, message);
  draw();
}

/** The text with what was added, wherever that begins; rows fill a gap. */
function grown(known, said) {
  const again = known?.attempt !== undefined && known.attempt !== said.attempt;
  const have = again || FINAL.has(known?.phase) ? [] : characters(known?.content);
  if (have.length < said.start) {
    loadSoon();
    return have.join("");
  }
  return have.concat(characters(said.text).slice(have.length - said.start)).join("");
}

/** A broadcast about the conversation. */
function notice(said) {
  if (said.exists === false) return leave();
  if (said.title) element("title").textContent = said.title;
  if (said.left_out || said.messages !== messages.size) loadSoon();
}

function greet(said) {
  element("people").textContent = said.names?.length ? `Open in the app: ${said.names.join(", ")}` : "";
}

function leave() {
  messages.clear();
  draw();
  say("This conversation doesn't exist any more, or it is not shared with you.");
}

function say(words) {
  element("state").textContent = words;
}

/** From the newest message up to the first: the branch that the app shows. */
function branch() {
  const line = [];
  let one = [...messages.values()].reduce((a, b) => (a && a.position > b.position ? a : b), null);
  while (one) {
    line.unshift(one);
    one = messages.get(one.parent);
  }
  return line;
}

/** Nothing that somebody wrote becomes markup: only textContent. */
function draw() {
  const place = element("messages");
  const shown = branch();
  const ids = new Set(shown.map((one) => one.id));
  for (const old of [...place.children]) if (!ids.has(old.id)) old.remove();
  shown.forEach((message, at) => {
    const drawn = place.children.namedItem(message.id) ?? place.insertBefore(made(message), place.children[at] ?? null);
    drawn.querySelector("h2").textContent = message.role === "user" ? (message.name ?? "Question") : "Answer";
    drawn.querySelector(".content").textContent = message.content;
    const waits = message.role === "assistant" && message.phase !== "complete";
    const detail = waits ? [WORDS[message.phase], message.error ?? message.detail].filter(Boolean).join(" ") : "";
    drawn.querySelector(".detail").textContent = detail;
    drawn.dataset.phase = message.phase;
    drawn.querySelector("details").hidden = message.role === "user" || message.phase !== "complete";
  });
}

function made(message) {
  const article = document.createElement("article");
  article.id = message.id;
  article.className = message.role;
  const part = (tag, name) => article.appendChild(Object.assign(document.createElement(tag), { className: name }));
  part("h2", "who");
  part("p", "content");
  part("p", "detail");
  const sources = part("details", "sources");
  sources.appendChild(document.createElement("summary")).textContent = "Sources";
  sources.addEventListener("toggle", () => sources.open && list(message.id, sources), { once: true });
  return article;
}

/** The passages of an answer, read when somebody asks for them. */
async function list(id, place) {
  const { data: rows } = await project
    .from("sources")
    .select("number, document_name, page, quotes")
    .eq("message_id", id)
    .order("number");
  for (const row of rows ?? []) {
    const quotes = row.quotes.map((one) => `“${one.quote}”`).join(" ");
    const page = row.page ? `, page ${row.page}` : "";
    place.appendChild(document.createElement("p")).textContent = `[${row.number}] ${row.document_name}${page} ${quotes}`;
  }
}
