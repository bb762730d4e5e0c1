// The handler alone: requests in, events out, with stand-ins (which say so) for the Data API and for the chat model.

import { deepStrictEqual as same, match, ok, strictEqual as equal } from "node:assert";
import type { Embedder } from "../_shared/embedding.ts";
import { handle } from "./handler.ts";

const PERSON = "Bearer aa.bb.cc";
const COLLECTION = "5a3c6c5e-9d0f-4a56-8c8e-0c0d6a8b7f11";
const SECRETS: Record<string, string> = {
  SUPABASE_URL: "http://project",
  SUPABASE_PUBLISHABLE_KEYS: '{"default": "sb_publishable_1"}',
  CHAT_MODEL: "stand-in",
  CHAT_MODELS: "other",
  CHAT_API_KEY: "sk-of-nobody",
  EMBEDDING_MODEL: "tiny",
};
const HIT = {
  collection_id: COLLECTION,
  document_name: "whales.md",
  page: 2,
  content: "Whales eat krill.",
  chunk_id: 7,
};
const MODEL = { embedding_model: "Tiny", dimensions: 2, query_prefix: "query: " };

interface Call {
  url: string;
  headers: Headers;
  // deno-lint-ignore no-explicit-any
  body: any;
  signal: AbortSignal;
}

type Answering = (call: Call) => Response | Promise<Response>;

class World {
  calls: Call[] = [];
  search: Answering = () => Response.json([HIT]);
  count: Answering = () => Response.json([{ scope: "person", used: 1, allowed: null }]);
  collections: Answering = () => Response.json([MODEL]);
  chat: Answering = () => said(piece("Krill "), piece("[1][9]."), finish("stop"), "[DONE]");
  embedder: Embedder | null = null;
  secrets: Record<string, string> = { ...SECRETS };

  ask: typeof fetch = async (url, init) => {
    const body = init?.body ? JSON.parse(String(init.body)) : null;
    const call = { url: String(url), headers: new Headers(init?.headers), body, signal: init?.signal as AbortSignal };
    this.calls.push(call);
    const answering = call.url.endsWith("/rpc/count_question")
      ? this.count
      : call.url.includes("/rpc/")
      ? this.search
      : call.url.includes("/rest/")
      ? this.collections
      : this.chat;
    return await answering(call);
  };

  send(body: unknown, init: RequestInit = {}): Promise<Response> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const asked = { method: "POST", headers: { Authorization: PERSON }, body: text, ...init };
    const parts = { env: (name: string) => this.secrets[name], embedder: this.embedder, ask: this.ask };
    return handle(new Request("http://function/ask", asked), parts);
  }

  async events(body: unknown = { question: "What eats krill?" }) {
    const answer = await this.send(body);
    equal(answer.status, 200);
    return parsed(await answer.text());
  }

  async error() {
    const last = (await this.events()).at(-1);
    equal(last?.name, "error");
    return last?.data as { message: string; hint: string };
  }
}

// deno-lint-ignore no-explicit-any
function parsed(text: string): { name: string; data: any }[] {
  return text.split("\n\n").filter((block) => block.startsWith("event:")).map((block) => {
    const [name, data] = block.split("\n");
    return { name: name.slice(7), data: JSON.parse(data.slice(6)) };
  });
}

const piece = (content: string) => JSON.stringify({ choices: [{ delta: { content }, finish_reason: null }] });
const finish = (reason: string) => JSON.stringify({ choices: [{ delta: {}, finish_reason: reason }] });
const STREAM = { headers: { "Content-Type": "text/event-stream" } };

function said(...data: string[]): Response {
  return new Response(data.map((one) => `data: ${one}\n\n`).join(""), STREAM);
}

Deno.test("sources, pieces and an end", async () => {
  const world = new World();
  const usage = '{"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 4}}';
  world.chat = () => said(piece("Krill "), piece("[1][9]."), finish("stop"), usage, "[DONE]");
  const events = await world.events({ question: " What eats krill? ", collection: COLLECTION, top_k: 3 });
  same(events, [
    { name: "sources", data: { sources: [{ number: 1, ...HIT }], by_meaning: false, note: "" } },
    { name: "delta", data: { text: "Krill " } },
    { name: "delta", data: { text: "[1][9]." } },
    { name: "done", data: { finish: "stop", model: "stand-in", usage: { input: 30, output: 4 }, cited: [1] } },
  ]);
  const [search, count, chat] = world.calls;
  same(search.body, { query: "What eats krill?", collection: COLLECTION, top_k: 3, embedding: null });
  equal(search.headers.get("authorization"), PERSON);
  equal(search.headers.get("apikey"), "sb_publishable_1");
  equal(search.headers.get("content-profile"), "api");
  same(count.body, { collections: [COLLECTION] });
  equal(count.headers.get("authorization"), PERSON);
  equal(chat.url, "https://api.openai.com/v1/chat/completions");
  equal(chat.headers.get("authorization"), "Bearer sk-of-nobody");
  equal(chat.headers.get("apikey"), null);
  equal(chat.body.max_completion_tokens, 1024);
});

Deno.test("events and characters that are cut anywhere arrive whole", async () => {
  const world = new World();
  const bytes = new TextEncoder().encode(`: hello\r\ndata: ${piece("Größe – 🐋")}\r\n\r\ndata: ${finish("stop")}`);
  world.chat = () =>
    new Response(
      ReadableStream.from((async function* () {
        for (const byte of bytes) {
          yield new Uint8Array([byte]);
        }
      })()),
      STREAM,
    );
  const events = await world.events();
  equal(events[1].data.text, "Größe – 🐋");
  equal(events.at(-1)?.name, "done");
});

Deno.test("providers by name have their own address", async () => {
  for (const [name, host] of [["anthropic", "api.anthropic.com"], ["gemini", "generativelanguage.googleapis.com"]]) {
    const world = new World();
    world.secrets.CHAT_PROVIDER = name;
    await world.events({ question: "Krill?", model: "other" });
    equal(new URL(world.calls[2].url).host, host);
    equal(world.calls[2].body.max_tokens, 1024);
    equal(world.calls[2].body.model, "other");
  }
});

Deno.test("a server that can't count tokens is asked again without", async () => {
  const world = new World();
  const answer = world.chat;
  world.chat = (call) => call.body.stream_options ? new Response("no stream_options", { status: 400 }) : answer(call);
  equal((await world.events()).at(-1)?.name, "done");
});

Deno.test("nothing found is said without asking the model", async () => {
  const world = new World();
  world.search = () => Response.json([]);
  const events = await world.events();
  same(events.map((event) => event.name), ["sources", "delta", "done"]);
  match(events[1].data.text, /^Nothing relevant was found/);
  equal(events[2].data.finish, "nothing_found");
  equal(world.calls.length, 1);
});

Deno.test("the question is embedded where the collection has the embedder's model", async () => {
  const world = new World();
  const texts: string[] = [];
  world.embedder = (given) => {
    texts.push(...given);
    return Promise.resolve([[3, 4]]);
  };
  const [sources] = await world.events({ question: "Krill?", collection: COLLECTION });
  same(texts, ["query: Krill?"]);
  match(world.calls[0].url, new RegExp(`&id=eq.${COLLECTION}$`));
  same(world.calls[1].body.embedding, [0.6, 0.8]);
  equal(sources.data.by_meaning, true);
});

for (
  const [what, models, embedder, note] of [
    ["of another model", [{ ...MODEL, embedding_model: "large" }], [[3, 4]], /not that of the documents/],
    ["of two models", [MODEL, { ...MODEL, embedding_model: "large" }], [[3, 4]], /not that of the documents/],
    ["of another size", [MODEL], [[3, 4, 5]], /3 numbers instead of 2/],
    ["of an embedder that fails", [MODEL], null, /the embedding model failed/],
  ] as const
) {
  Deno.test(`words alone decide instead of a vector ${what}`, async () => {
    const world = new World();
    world.collections = () => Response.json(models);
    world.embedder = () => embedder ? Promise.resolve(embedder.map((one) => [...one])) : Promise.reject(new Error());
    const [sources] = await world.events();
    equal(world.calls[1].body.embedding, null);
    match(sources.data.note, note);
  });
}

Deno.test("what is no question is refused before anything is asked", async () => {
  const world = new World();
  for (
    const [body, status, words] of [
      ["{", 400, /no JSON/],
      [null, 400, /no question/],
      [{ question: " " }, 400, /no question/],
      [{ question: ["Krill?"] }, 400, /no question/],
      [{ question: "a".repeat(4001) }, 400, /4000 characters/],
      [{ question: "a".repeat(70_000) }, 413, /64 KB/],
      [{ question: "a", collection: "1&select=*" }, 400, /id of a collection/],
      [{ question: "a", top_k: 21 }, 400, /from 1 to 20/],
      [{ question: "a", top_k: "3" }, 400, /from 1 to 20/],
      [{ question: "a", model: "the dearest" }, 400, /not on offer/],
    ] as const
  ) {
    const answer = await world.send(body);
    equal(answer.status, status);
    match((await answer.json()).message, words);
    equal(answer.headers.get("access-control-allow-origin"), "*");
  }
  for (const authorization of ["", "Bearer sb_publishable_1", "Basic YTpi"]) {
    equal((await world.send({ question: "a" }, { headers: { authorization } })).status, 401);
  }
  equal((await world.send("", { method: "GET", body: undefined })).status, 405);
  equal(world.calls.length, 0);
});

Deno.test("browsers may ask from any origin, or from those that are listed", async () => {
  const world = new World();
  const preflight = { method: "OPTIONS", body: undefined, headers: { Origin: "https://mine.example" } };
  const open = await world.send("", preflight);
  equal(open.status, 204);
  equal(open.headers.get("access-control-allow-origin"), "*");
  ok(open.headers.get("access-control-allow-headers")?.includes("authorization"));
  world.secrets.ASK_ORIGINS = "https://mine.example, https://ours.example";
  equal((await world.send("", preflight)).headers.get("access-control-allow-origin"), "https://mine.example");
  const strange = await world.send("", { ...preflight, headers: { Origin: "https://evil.example" } });
  equal(strange.headers.get("access-control-allow-origin"), null);
});

Deno.test("a missing secret is named", async () => {
  for (
    const [name, value] of [["CHAT_MODEL", ""], ["CHAT_PROVIDER", "acme"], ["SUPABASE_PUBLISHABLE_KEYS", "{"]] as const
  ) {
    const world = new World();
    delete world.secrets.CHAT_MODELS;
    world.secrets[name] = value;
    const answer = await world.send({ question: "Krill?" });
    equal(answer.status, 501);
    match((await answer.json()).hint, new RegExp(name.replace(/S$/, "")));
    equal(world.calls.length, 0);
  }
});

Deno.test("what the Data API refuses is passed on in words, and no model is asked", async () => {
  for (
    const [given, body, status, words] of [
      [401, { message: "JWT expired", code: "PGRST301" }, 401, /signed in/],
      [404, { message: "That collection does not exist.", code: "PT404" }, 404, /does not exist/],
      [406, { message: "Invalid schema", code: "PGRST106" }, 503, /doesn't show the search/],
      [500, { message: "canceling statement", code: "57014" }, 503, /The search failed/],
      [200, { message: "no list" }, 502, /with a list/],
    ] as const
  ) {
    const world = new World();
    world.search = () => Response.json(body, { status: given });
    const answer = await world.send({ question: "Krill?" });
    equal(answer.status, status);
    match((await answer.json()).message, words);
    equal(world.calls.length, 1);
  }
  const world = new World();
  world.search = () => Promise.reject(new TypeError("connection refused"));
  equal((await world.send({ question: "Krill?" })).status, 503);
});

Deno.test("over a limit no model is asked", async () => {
  const world = new World();
  const refusal = {
    code: "CSLIM",
    message: "You have asked 20 questions today, which is the limit.",
    hint: "Tomorrow.",
  };
  world.count = () => Response.json(refusal, { status: 400 });
  const answer = await world.send({ question: "Krill?" });
  equal(answer.status, 429);
  same(await answer.json(), { message: refusal.message, hint: refusal.hint });
  equal(world.calls.length, 2);
});

Deno.test("what goes wrong at the model is said in words, without what its server said", async () => {
  for (
    const [answer, words] of [
      [new Response("key sk-of-nobody", { status: 401 }), /did not accept the key/],
      [new Response("", { status: 429 }), /busy/],
      [new Response('{"code": "insufficient_quota"}', { status: 429 }), /quota/],
      [new Response("", { status: 404 }), /no chat model named “stand-in”/],
      [new Response("too long", { status: 400 }), /refused the question/],
      [new Response("", { status: 502 }), /failed \(status 502\)/],
      [new Response("", { status: 302, headers: { location: "http://elsewhere" } }), /not followed/],
      [new Response("<html>", { headers: { "content-type": "text/html" } }), /can't be read/],
      [said(piece("Some "), "<html>"), /can't be read/],
      [said(piece("Some "), '{"error": {"message": "sk-of-nobody"}}'), /stopped with an error/],
      [said(piece("Some ")), /broke off/],
      [said(finish("stop"), "[DONE]"), /empty answer/],
    ] as const
  ) {
    const world = new World();
    world.chat = () => answer;
    const error = await world.error();
    match(error.message, words);
    ok(error.hint);
    ok(!JSON.stringify(error).includes("sk-of-nobody"));
  }
});

/** A model that says something and then nothing, until it is hung up on. */
function silent(call: Call): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const beat = setInterval(() => writer.write(new TextEncoder().encode(": ping\n\n")).catch(() => {}), 20);
  writer.write(new TextEncoder().encode(`data: ${piece("Some ")}\n\n`)).catch(() => {});
  call.signal.addEventListener("abort", () => {
    clearInterval(beat);
    writer.abort(call.signal.reason).catch(() => {});
  });
  return new Response(readable, STREAM);
}

Deno.test("a model that is silent is hung up on, whatever its server sends to keep the line", async () => {
  const world = new World();
  world.secrets.ASK_SILENCE_S = "0.2";
  world.chat = silent;
  match((await world.error()).message, /said nothing for 0.2 seconds/);
  ok(world.calls[2].signal.aborted);
});

Deno.test("a model that never ends is hung up on", async () => {
  const world = new World();
  world.secrets.ASK_ANSWER_S = "0.2";
  world.chat = silent;
  match((await world.error()).message, /took longer than 0.2 seconds/);
  const flood = new World();
  flood.secrets.ASK_ANSWER_TOKENS = "10";
  flood.chat = () => said(...Array(100).fill(piece("words ")), finish("stop"));
  const events = await flood.events();
  equal(events.filter((event) => event.name === "delta").map((event) => event.data.text).join("").length, 80);
  equal(events.at(-1)?.data.finish, "length");
  ok(flood.calls[2].signal.aborted);
});

Deno.test("who goes away takes the model's connection along", async () => {
  const world = new World();
  world.chat = silent;
  const answer = await world.send({ question: "Krill?" });
  const reader = answer.body!.getReader();
  await reader.read();
  await reader.read();
  ok(!world.calls[2].signal.aborted);
  const left = reader.cancel();
  ok(world.calls[2].signal.aborted, "at once, not when the model is given up on");
  await left;
});
