// From a request to a stream of events: `sources`, then `delta` after `delta`, then `done` or `error`.
//
// The asker's token is what searches, so that policies decide what is found; nothing is spent before that has worked.

import type { Embedder, Env } from "../_shared/embedding.ts";
import { answer } from "./model.ts";
import { buildPrompt } from "./prompt.ts";
import { readQuestion } from "./question.ts";
import { inWords, Refusal } from "./refusals.ts";
import { count, type Found, search, type Wanted } from "./searching.ts";
import { readSettings, type Settings } from "./settings.ts";

export interface Parts {
  env: Env;
  embedder: Embedder | null;
  ask: typeof fetch;
}

const BEAT_MS = 10_000;
const MARKER = /\[(\d{1,4})\]/g;
const NOTHING_FOUND = "Nothing relevant was found: no passage that you may see fits this question.";

export async function handle(request: Request, parts: Parts): Promise<Response> {
  const headers = corsHeaders(request, parts.env);
  if (request.method === "OPTIONS") {
    return new Response(null, { status: 204, headers });
  }
  const cancelled = new AbortController();
  const gone = AbortSignal.any([request.signal, cancelled.signal]);
  try {
    const authorization = authorizationOf(request);
    const settings = readSettings(parts.env);
    const wanted = await readQuestion(request, settings);
    const line = { settings, authorization, ask: parts.ask, signal: gone };
    const found = await search(line, wanted, parts.embedder, parts.env);
    if (found.hits.length) {
      await count(line, found.hits);
    }
    const events = tell(settings, wanted, found, parts.ask, gone);
    return new Response(streamed(events, cancelled), {
      headers: { ...headers, "Content-Type": "text/event-stream", "Cache-Control": "no-store" },
    });
  } catch (error) {
    const refusal = inWords(error);
    return Response.json(refusal.words, { status: refusal.status, headers });
  }
}

/** Requests bear a token and no cookies, so that any origin may ask unless ASK_ORIGINS lists those that may. */
function corsHeaders(request: Request, env: Env): Record<string, string> {
  const allowed = (env("ASK_ORIGINS") ?? "").split(",").map((one) => one.trim()).filter((one) => one);
  const origin = request.headers.get("origin") ?? "";
  const granted: Record<string, string> = allowed.length === 0
    ? { "Access-Control-Allow-Origin": "*" }
    : allowed.includes(origin)
    ? { "Access-Control-Allow-Origin": origin }
    : {};
  return {
    ...granted,
    Vary: "Origin",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, apikey, content-type, x-client-info",
  };
}

function authorizationOf(request: Request): string {
  if (request.method !== "POST") {
    throw new Refusal(405, "Questions are sent by POST.");
  }
  const given = request.headers.get("authorization") ?? "";
  if (!/^Bearer [\w-]+\.[\w-]+\.[\w-]+$/i.test(given)) {
    const hint = "Sign in, and send the access token as “Authorization: Bearer …”.";
    throw new Refusal(401, "Only people who are signed in may ask.", hint);
  }
  return given;
}

async function* tell(
  settings: Settings,
  wanted: Wanted & { model: string },
  found: Found,
  ask: typeof fetch,
  gone: AbortSignal,
): AsyncGenerator<string> {
  const { turns, used } = buildPrompt(wanted.question, found.hits, settings.limits.context);
  const sources = found.hits.slice(0, used).map((hit, at) => ({ number: at + 1, ...hit }));
  yield event("sources", { sources, by_meaning: found.byMeaning, note: found.note });
  if (!sources.length) {
    yield event("delta", { text: NOTHING_FOUND });
    yield event("done", { finish: "nothing_found", model: null, usage: null, cited: [] });
    return;
  }
  let text = "";
  let finish = "stop";
  let usage = null;
  try {
    for await (const piece of answer(settings.chat, wanted.model, turns, settings.limits, ask, gone)) {
      if ("text" in piece) {
        const shown = piece.text.slice(0, settings.limits.answer - text.length);
        text += shown;
        yield event("delta", { text: shown });
      }
      finish = "finish" in piece ? piece.finish : finish;
      usage = "usage" in piece ? piece.usage : usage;
      if (text.length >= settings.limits.answer) {
        finish = "length";
        break;
      }
    }
    if (!text.trim()) {
      throw new Refusal(502, "The chat model gave an empty answer.", "Try again, or choose another model.");
    }
  } catch (error) {
    if (!gone.aborted) { // else nobody is there to read it
      yield event("error", inWords(error).words);
    }
    return;
  }
  const numbers = [...text.matchAll(MARKER)].map((found) => Number(found[1]));
  const cited = [...new Set(numbers)].filter((number) => number >= 1 && number <= used);
  yield event("done", { finish, model: wanted.model, usage, cited });
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** The events as bytes, with a sign of life between them: a closed connection shows when something is written to it. */
function streamed(events: AsyncGenerator<string>, cancelled: AbortController): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let beat: ReturnType<typeof setInterval> | undefined;
  return new ReadableStream({
    start(controller) {
      beat = setInterval(() => controller.enqueue(encoder.encode(": still here\n\n")), BEAT_MS);
    },
    async pull(controller) {
      const next = await events.next().catch((error) => {
        clearInterval(beat);
        throw error;
      });
      if (cancelled.signal.aborted) {
        return;
      }
      if (next.done) {
        clearInterval(beat);
        controller.close();
      } else {
        controller.enqueue(encoder.encode(next.value));
      }
    },
    async cancel() {
      clearInterval(beat);
      cancelled.abort();
      await events.return(undefined);
    },
  });
}
