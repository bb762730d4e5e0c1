// What the function answers: {"texts": [...]} with vectors, anything else by emptying the queue. Only to who has its key.

import { checked, type Embedder, EmbeddingError, type Env, modelNames } from "../_shared/embedding.ts";
import { drain, LIMITS, type Limits } from "./draining.ts";
import type { Queue } from "./queue.ts";

const MOST_TEXTS = 64;
const MOST_CHARACTERS = 200_000;

export interface Parts {
  env: Env;
  embedder: Embedder | null;
  openQueue: (url: string, names: string[]) => Queue;
}

export async function handle(request: Request, parts: Parts): Promise<Response> {
  if (request.method !== "POST") {
    return told(request.method === "OPTIONS" ? 204 : 405, "Send a POST.");
  }
  if (!await isAllowed(request, parts.env)) {
    return told(401, "This function wants the project's secret key, or EMBED_SECRET.");
  }
  if (!parts.embedder) {
    return told(501, "There is no embedding model here: set EMBEDDING_BASE_URL, or deploy to Supabase for gte-small.");
  }
  const body = await request.json().catch(() => ({}));
  try {
    return "texts" in Object(body) ? await vectors(body.texts, parts.embedder) : await work(parts, parts.embedder);
  } catch (error) {
    if (error instanceof EmbeddingError) {
      const headers: Record<string, string> = error.retryAfter === undefined
        ? {}
        : { "Retry-After": `${error.retryAfter}` };
      return told(error.refused ? 422 : 503, error.message, headers);
    }
    console.error("embed", error);
    return told(500, "That failed unexpectedly; the function's log has the details.");
  }
}

async function vectors(texts: unknown, embed: Embedder): Promise<Response> {
  if (!Array.isArray(texts) || texts.some((text) => typeof text !== "string") || texts.length > MOST_TEXTS) {
    return told(400, `texts is a list of at most ${MOST_TEXTS} strings.`);
  }
  if (texts.reduce((sum, text) => sum + text.length, 0) > MOST_CHARACTERS) {
    return told(413, `The texts may have ${MOST_CHARACTERS} characters in all.`);
  }
  const found = texts.length ? await embed(texts) : [];
  return Response.json({ vectors: found.map((vector) => checked(vector, vector.length)) });
}

async function work({ env, openQueue }: Parts, embed: Embedder): Promise<Response> {
  const url = env("SUPABASE_DB_URL");
  if (!url) {
    return told(501, "SUPABASE_DB_URL is not set.");
  }
  const queue = openQueue(url, modelNames(env));
  try {
    return Response.json(await drain(queue, embed, limits(env)));
  } finally {
    await queue.close();
  }
}

/** EMBED_JOBS, EMBED_BATCH, EMBED_BUDGET_S and EMBED_LEASE_S, where set, in place of {@link LIMITS}. */
function limits(env: Env): Limits {
  const number = (name: string, otherwise: number) => Number(env(name)) > 0 ? Number(env(name)) : otherwise;
  return {
    jobs: number("EMBED_JOBS", LIMITS.jobs),
    batch: number("EMBED_BATCH", LIMITS.batch),
    budgetMs: 1000 * number("EMBED_BUDGET_S", LIMITS.budgetMs / 1000),
    leaseS: number("EMBED_LEASE_S", LIMITS.leaseS),
  };
}

/** Whether the request bears one of the function's keys. */
async function isAllowed(request: Request, env: Env): Promise<boolean> {
  const given = [request.headers.get("authorization")?.replace(/^Bearer /i, ""), request.headers.get("apikey")];
  const keys = [env("EMBED_SECRET"), env("SUPABASE_SERVICE_ROLE_KEY"), ...secretKeys(env)].filter((key) => key);
  const known = new Set(await Promise.all(keys.map((key) => digest(key as string))));
  const digests = await Promise.all(given.filter((key) => key).map((key) => digest(key as string)));
  return digests.some((one) => known.has(one));
}

/** The newer keys, which the runtime has as {"name": "sb_secret_…"}. */
function secretKeys(env: Env): string[] {
  try {
    return Object.values(JSON.parse(env("SUPABASE_SECRET_KEYS") ?? "{}")).filter((key) => typeof key === "string");
  } catch {
    return []; // no such keys: then the other ones count
  }
}

/** Compared instead of keys: how long a comparison takes says nothing about them. */
async function digest(key: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function told(status: number, message: string, headers: Record<string, string> = {}): Response {
  return status === 204 ? new Response(null, { status }) : Response.json({ message }, { status, headers });
}
