// The passages that fit a question, found over the project's Data API with the asker's own token: policies decide.

import { checked, type Embedder, EmbeddingError, type Env, modelNames } from "../_shared/embedding.ts";
import { Refusal } from "./refusals.ts";
import type { Settings } from "./settings.ts";

/** A row of api.search_chunks; docs/api.md says what its columns are. */
export interface Hit {
  chunk_id: number;
  collection_id: string;
  document_id: string;
  document_name: string;
  title: string | null;
  text_revision: number;
  page: number | null;
  start_char: number;
  end_char: number;
  content: string;
  similarity: number | null;
  score: number | null;
}

export interface Found {
  hits: Hit[];
  /** Whether the question was compared by meaning too; `note` says why not, where that was meant to be. */
  byMeaning: boolean;
  note: string;
}

export interface Wanted {
  question: string;
  collection: string | null;
  topK: number;
}

/** Whose project is asked, as whom, by which `fetch`. */
export interface Line {
  settings: Settings;
  authorization: string;
  ask: typeof fetch;
  signal: AbortSignal;
}

const PATIENCE_MS = 20_000;
const OVER_A_LIMIT = "CSLIM";

export async function search(line: Line, wanted: Wanted, embedder: Embedder | null, env: Env): Promise<Found> {
  const { vector, note } = embedder
    ? await embedQuestion(line, wanted, embedder, modelNames(env))
    : { vector: null, note: "" };
  const body = { query: wanted.question, collection: wanted.collection, top_k: wanted.topK, embedding: vector };
  const hits = await call(line, "rpc/search_chunks", { method: "POST", body: JSON.stringify(body) }) as Hit[];
  return { hits, byMeaning: vector !== null, note };
}

/** Counts the question where the asker and these collections have limits; refused over one of them. */
export async function count(line: Line, hits: Hit[]): Promise<void> {
  const collections = [...new Set(hits.map((hit) => hit.collection_id))];
  await call(line, "rpc/count_question", { method: "POST", body: JSON.stringify({ collections }) });
}

/** The question's vector, if the collections that are asked have the embedder's model. */
async function embedQuestion(
  line: Line,
  { question, collection }: Wanted,
  embed: Embedder,
  names: string[],
): Promise<{ vector: number[] | null; note: string }> {
  const where = collection ? `&id=eq.${collection}` : "";
  const rows = await call(line, `collections?select=embedding_model,dimensions,query_prefix${where}`) as {
    embedding_model: string | null;
    dimensions: number | null;
    query_prefix: string | null;
  }[];
  const models = rows.filter((row) => row.embedding_model && row.dimensions);
  const [model] = models;
  const same = models.every((row) => row.embedding_model === model.embedding_model);
  if (!model || !same || !names.includes(`${model.embedding_model}`.toLowerCase())) {
    const note = model ? "Searched by words alone: this function's embedding model is not that of the documents." : "";
    return { vector: null, note };
  }
  try {
    const [vector] = await embed([`${model.query_prefix ?? ""}${question}`]);
    return { vector: checked(vector, Number(model.dimensions)), note: "" };
  } catch (error) {
    if (!(error instanceof EmbeddingError)) {
      console.error("The question could not be embedded.", error);
    }
    const why = error instanceof EmbeddingError ? error.message : "the embedding model failed.";
    return { vector: null, note: `Searched by words alone: ${why}` };
  }
}

async function call({ settings, authorization, ask, signal }: Line, path: string, init: RequestInit = {}) {
  const headers = {
    Authorization: authorization,
    apikey: settings.key,
    "Accept-Profile": "api",
    "Content-Profile": "api",
    "Content-Type": "application/json",
  };
  let answer: Response;
  let body: unknown;
  try {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    answer = await ask(`${settings.project}/rest/v1/${path}`, { ...init, headers, signal: patience });
    body = await answer.json().catch((error) => {
      if (error instanceof SyntaxError) {
        return null; // not JSON: refused below
      }
      throw error;
    });
  } catch {
    throw new Refusal(503, "The project's Data API can't be reached.", "Try again in a moment.");
  }
  if (!answer.ok) {
    throw refused(answer.status, Object(body));
  }
  if (!Array.isArray(body)) {
    throw new Refusal(502, "The project's Data API did not answer with a list.", "Check SUPABASE_URL.");
  }
  return body;
}

function refused(status: number, said: { message?: unknown; hint?: unknown; code?: unknown }): Refusal {
  const code = String(said.code ?? "");
  if (status === 401) {
    return new Refusal(401, "Only people who are signed in may ask.", "Sign in again, and send the new access token.");
  }
  if (code.startsWith("PGRST") && [404, 406].includes(status)) {
    const hint = "Expose the schema api under Data API, apply the migrations; `corpuscope doctor` checks both.";
    return new Refusal(503, "This project's Data API doesn't show the search.", hint);
  }
  if (code === OVER_A_LIMIT) {
    return new Refusal(429, String(said.message), String(said.hint ?? ""));
  }
  if (status < 500 && typeof said.message === "string") {
    return new Refusal(status, said.message, typeof said.hint === "string" ? said.hint : "");
  }
  console.error("search", status, code, said.message);
  return new Refusal(503, "The search failed.", "Try again in a moment, or choose one collection.");
}
