// A chat model behind OpenAI's protocol: its answer as it comes, and what goes wrong there in words.

import type { Turn } from "./prompt.ts";
import { Refusal } from "./refusals.ts";
import type { Limits, Settings } from "./settings.ts";

export type Piece = { text: string } | { finish: string } | { usage: { input: number; output: number } };

const TRY_AGAIN = "Try again in a moment.";

interface Chunk {
  error?: { message?: unknown };
  choices?: { delta?: { content?: unknown } | null; finish_reason?: unknown }[];
  usage?: { prompt_tokens?: unknown; completion_tokens?: unknown } | null;
}

/** The model's answer. Leaving the loop, or `gone`, closes the connection at once. Throws a {@link Refusal}. */
export async function* answer(
  chat: Settings["chat"],
  model: string,
  turns: Turn[],
  limits: Limits,
  ask: typeof fetch,
  gone: AbortSignal,
): AsyncGenerator<Piece> {
  const watch = new Watch(limits);
  try {
    const signal = AbortSignal.any([gone, watch.signal]);
    const response = await request(chat, model, turns, limits, ask, signal);
    yield* read(response, watch, chat.key);
  } catch (error) {
    if (error instanceof Refusal || gone.aborted) {
      throw error;
    }
    throw watch.words ?? new Refusal(502, "The connection to the chat model failed or broke off.", TRY_AGAIN);
  } finally {
    watch.end();
  }
}

/** Hangs up when the model says nothing for too long, or talks for too long. */
class Watch {
  words: Refusal | null = null;
  private readonly line = new AbortController();
  private readonly whole: ReturnType<typeof setTimeout>;
  private silence: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly limits: Limits) {
    this.whole = setTimeout(() => this.hangUp("took longer than", limits.answerMs), limits.answerMs);
    this.heard();
  }

  get signal(): AbortSignal {
    return this.line.signal;
  }

  heard(): void {
    clearTimeout(this.silence);
    const { silenceMs } = this.limits;
    this.silence = setTimeout(() => this.hangUp("said nothing for", silenceMs), silenceMs);
  }

  end(): void {
    clearTimeout(this.silence);
    clearTimeout(this.whole);
    this.line.abort();
  }

  private hangUp(what: string, milliseconds: number): void {
    this.words = new Refusal(504, `The chat model ${what} ${milliseconds / 1000} seconds.`, TRY_AGAIN);
    this.line.abort();
  }
}

async function request(
  chat: Settings["chat"],
  model: string,
  turns: Turn[],
  limits: Limits,
  ask: typeof fetch,
  signal: AbortSignal,
): Promise<Response> {
  const asked = { model, messages: turns, stream: true, [chat.tokenField]: limits.tokens };
  const post = (body: unknown) =>
    ask(`${chat.address}/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${chat.key}` },
      body: JSON.stringify(body),
      redirect: "manual", // the key and the passages go nowhere else
      signal,
    });
  let response = await post({ ...asked, stream_options: { include_usage: true } });
  let said = response.ok ? "" : await response.text();
  if ([400, 422].includes(response.status) && /stream_options|include_usage/.test(said)) {
    response = await post(asked); // an older server, which can't count
    said = response.ok ? "" : await response.text();
  }
  if (!response.ok) {
    throw ofStatus(response.status, hide(said, chat.key), model);
  }
  return response;
}

function ofStatus(status: number, said: string, model: string): Refusal {
  console.error("chat model", status, said.slice(0, 500)); // to the log alone: servers repeat prompts
  if (said.includes("insufficient_quota")) {
    return new Refusal(502, "The quota of the chat model's key is used up.", "Check the billing at its provider.");
  }
  if ([429, 503, 529].includes(status)) {
    return new Refusal(502, "The chat model is busy.", "Try again in a few minutes.");
  }
  if ([401, 403].includes(status)) {
    return new Refusal(502, "The chat model's server did not accept the key.", "Check the secret CHAT_API_KEY.");
  }
  if (status === 404) {
    const hint = "Check the secrets CHAT_MODEL and CHAT_PROVIDER or CHAT_BASE_URL.";
    return new Refusal(502, `The server has no chat model named “${model}”.`, hint);
  }
  if ([400, 413, 422].includes(status)) {
    const hint = "Ask for fewer passages (top_k), or lower ASK_CONTEXT_CHARACTERS; the function's log has the details.";
    return new Refusal(502, "The chat model refused the question.", hint);
  }
  if (status < 400) {
    const hint = "Set CHAT_BASE_URL to the address that it names.";
    return new Refusal(502, "The chat model's server sends requests elsewhere, which is not followed.", hint);
  }
  return new Refusal(502, `The chat model's server failed (status ${status}).`, TRY_AGAIN);
}

async function* read(response: Response, watch: Watch, key: string): AsyncGenerator<Piece> {
  const kind = response.headers.get("content-type") ?? "";
  if (!response.body || !kind.includes("event-stream")) {
    throw unreadable();
  }
  let finished = false;
  for await (const data of dataOf(response.body)) {
    if (data === "[DONE]") {
      finished = true;
      break;
    }
    watch.heard();
    for (const piece of piecesOf(hide(data, key))) {
      finished ||= "finish" in piece;
      yield piece;
    }
  }
  if (!finished) {
    throw new Refusal(502, "The chat model's answer broke off.", "Try again.");
  }
}

function* piecesOf(data: string): Generator<Piece> {
  let chunk: Chunk;
  try {
    chunk = Object(JSON.parse(data));
  } catch {
    throw unreadable();
  }
  if (chunk.error) {
    console.error("chat model", JSON.stringify(chunk.error).slice(0, 500));
    throw new Refusal(502, "The chat model stopped with an error.", TRY_AGAIN);
  }
  const choice = chunk.choices?.[0];
  if (typeof choice?.delta?.content === "string" && choice.delta.content) {
    yield { text: choice.delta.content };
  }
  if (typeof choice?.finish_reason === "string" && choice.finish_reason) {
    yield { finish: choice.finish_reason };
  }
  if (chunk.usage) {
    yield { usage: { input: Number(chunk.usage.prompt_tokens), output: Number(chunk.usage.completion_tokens) } };
  }
}

/** What stands behind each `data:` of a stream of events. */
async function* dataOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() ?? "";
    yield* lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
  }
  if (rest.startsWith("data:")) {
    yield rest.slice(5).trim();
  }
}

/** `text` without the key, which servers repeat; what is shorter than ten characters is a word that none checks. */
function hide(text: string, key: string): string {
  return key.length < 10 ? text : text.replaceAll(key, "[the key]");
}

function unreadable(): Refusal {
  const hint = "Check CHAT_BASE_URL: an OpenAI-compatible server, for most of them with /v1 at the end.";
  return new Refusal(502, "The chat model's answer can't be read.", hint);
}
