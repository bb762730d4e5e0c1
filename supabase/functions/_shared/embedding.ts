// Where vectors come from: a model inside of Supabase's runtime, or a server that speaks OpenAI's protocol.

/** One vector for each text, in order. Throws an {@link EmbeddingError}. */
export type Embedder = (texts: string[]) => Promise<number[][]>;

export type Env = (name: string) => string | undefined;

/** Why there are no vectors, in words for a person. */
export class EmbeddingError extends Error {
  /**
   * `refused`: this input will never be taken. `retryAfter`: seconds that the server wants to be left alone. `busy`: no
   * text's fault, and it may work later.
   */
  constructor(message: string, readonly refused = false, readonly retryAfter?: number, readonly busy = false) {
    super(message);
  }
}

/** The model inside of Supabase's runtime, and what it is called elsewhere. */
export const BUILT_IN = "gte-small";
const BUILT_IN_NAMES = [BUILT_IN, "thenlper/gte-small", "supabase/gte-small"];

const PATIENCE_MS = 30_000;

interface Session {
  run(text: string, options: { mean_pool: boolean; normalize: boolean }): Promise<unknown>;
}

interface Runtime {
  ai?: { Session?: new (model: string) => Session };
}

/** How the models that the embedder stands for are called in `embedding_models`, in lower case. */
export function modelNames(env: Env): string[] {
  const name = (env("EMBEDDING_MODEL") || BUILT_IN).toLowerCase();
  return BUILT_IN_NAMES.includes(name) ? BUILT_IN_NAMES : [name];
}

/**
 * The embedder that the secrets name: EMBEDDING_BASE_URL with EMBEDDING_API_KEY and EMBEDDING_MODEL, or without an
 * address the built-in gte-small. null where neither can be had: then only words can be searched for.
 */
export function chooseEmbedder(env: Env, ask: typeof fetch = fetch): Embedder | null {
  const address = env("EMBEDDING_BASE_URL");
  if (address) {
    return (texts) => askServer(address, env("EMBEDDING_API_KEY") ?? "", env("EMBEDDING_MODEL") ?? "", texts, ask);
  }
  const runtime = (globalThis as { Supabase?: Runtime }).Supabase;
  if (!runtime?.ai?.Session || !modelNames(env).includes(BUILT_IN)) {
    return null;
  }
  const session = new runtime.ai.Session(BUILT_IN);
  return async (texts) => {
    const vectors: number[][] = [];
    for (const text of texts) { // one at a time: the model takes no more
      vectors.push(await session.run(text, { mean_pool: true, normalize: true }) as number[]);
    }
    return vectors;
  };
}

async function askServer(
  address: string,
  key: string,
  model: string,
  texts: string[],
  ask: typeof fetch,
): Promise<number[][]> {
  let answer: Response;
  try {
    answer = await ask(`${address.replace(/\/+$/, "")}/embeddings`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
      body: JSON.stringify({ model, input: texts, encoding_format: "float" }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch (error) {
    const slow = error instanceof DOMException && error.name === "TimeoutError";
    throw new EmbeddingError(
      slow ? "The embedding server did not answer in time." : "The embedding server can't be reached.",
      false,
      undefined,
      true,
    );
  }
  if (!answer.ok) {
    await answer.body?.cancel();
    throw refusal(answer);
  }
  return inOrder(await answer.json().catch(() => null), texts.length);
}

function refusal(answer: Response): EmbeddingError {
  if ([408, 409, 429].includes(answer.status) || answer.status >= 500) {
    const wait = Number(answer.headers.get("retry-after") ?? NaN);
    return new EmbeddingError(
      `The embedding server is busy (status ${answer.status}).`,
      false,
      wait >= 0 ? Math.min(wait, 600) : undefined,
      true,
    );
  }
  if ([400, 413, 422].includes(answer.status)) {
    return new EmbeddingError(`The embedding server refused this text (status ${answer.status}).`, true);
  }
  if ([401, 403].includes(answer.status)) {
    return new EmbeddingError("The embedding server did not accept the key: check EMBEDDING_API_KEY.");
  }
  return new EmbeddingError(`The embedding server answered with status ${answer.status}: check EMBEDDING_BASE_URL.`);
}

function inOrder(answer: { data?: { index: number; embedding: number[] }[] } | null, expected: number): number[][] {
  const rows = Array.isArray(answer?.data) ? answer.data : [];
  const vectors: number[][] = [];
  for (const row of rows) {
    vectors[row?.index] = row?.embedding;
  }
  if (rows.length !== expected || Object.keys(vectors).length !== expected) {
    throw new EmbeddingError(`The embedding server answered ${rows.length} vectors to ${expected} texts.`);
  }
  return vectors;
}

/** The vector at unit length; an {@link EmbeddingError} where it is none of so many numbers. */
export function checked(vector: unknown, dimensions: number): number[] {
  if (!Array.isArray(vector) || vector.length !== dimensions) {
    const found = Array.isArray(vector) ? vector.length : 0;
    throw new EmbeddingError(`The model's vectors have ${found} numbers instead of ${dimensions}.`);
  }
  const length = Math.hypot(...vector);
  if (!Number.isFinite(length) || length < 1e-9) {
    throw new EmbeddingError("The model answered with a vector that means nothing.");
  }
  return vector.map((number) => number / length);
}
