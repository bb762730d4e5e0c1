// One run of the function: jobs are taken, embedded and ended until none is due or the time is over.
//
// A run may die at any moment: its leases end, and the jobs are somebody else's. What it stored until then stays.

import { checked, type Embedder, EmbeddingError } from "../_shared/embedding.ts";
import type { Claim, Piece, Queue } from "./queue.ts";

export interface Limits {
  /** Jobs that are leased at once; each names up to 64 chunks. */
  jobs: number;
  /** Texts of one call of the embedder. */
  batch: number;
  /** After so long no more is begun. Well under the 150 s that a function may take. */
  budgetMs: number;
  /** How long a job stays with a run that says nothing more. */
  leaseS: number;
}

export const LIMITS: Limits = { jobs: 4, batch: 16, budgetMs: 90_000, leaseS: 150 };

export interface Outcome {
  jobs: number;
  stored: number;
  failed: number;
  /** Whether the time was over while more was to do. */
  unfinished: boolean;
}

/** Failures in a row after which the model itself is thought to be down. */
const PATIENCE = 3;
const FIRST_DELAY_S = 2;
const GROWTH = 2.5;
const LONGEST_DELAY_S = 600;
/** A model that is down is left alone for so long, unless it says itself for how long. */
const REST_S = 30;

export async function drain(
  queue: Queue,
  embed: Embedder,
  limits: Limits = LIMITS,
  now: () => number = Date.now,
): Promise<Outcome> {
  const end = now() + limits.budgetMs;
  const outcome: Outcome = { jobs: 0, stored: 0, failed: 0, unfinished: false };
  while (!outcome.unfinished) {
    await queue.beat();
    const claim = await queue.claim(limits.jobs, limits.leaseS);
    if (claim.claimed === 0) {
      break;
    }
    const failures = await work(queue, embed, claim, limits, () => now() > end, outcome);
    const down = await conclude(queue, claim, failures, outcome);
    outcome.unfinished = down || now() > end;
  }
  return outcome;
}

type Failures = Map<string, EmbeddingError>;

/** Embeds and stores batch by batch; what could not be, by its hash. */
async function work(
  queue: Queue,
  embed: Embedder,
  claim: Claim,
  limits: Limits,
  over: () => boolean,
  outcome: Outcome,
): Promise<Failures> {
  const failures: Failures = new Map();
  let unbroken = 0; // failures in a row
  const spans = batches(claim.pieces, limits.batch);
  for (let span = spans.shift(); span && !over(); span = spans.shift()) {
    try {
      const vectors = await embed(span.map((piece) => piece.input));
      const rows = span.map((piece, at) => ({
        ids: piece.ids,
        hash: piece.hash,
        vector: checked(vectors[at], piece.dimensions),
      }));
      outcome.stored += await queue.store(rows);
      unbroken = 0;
      await queue.beat();
    } catch (thrown) {
      const error = inWords(thrown);
      for (const piece of span) {
        failures.set(piece.hash, error);
      }
      unbroken = error.refused ? 0 : unbroken + 1;
      if (error.retryAfter !== undefined || unbroken >= PATIENCE) {
        for (const piece of spans.flat()) {
          failures.set(piece.hash, error);
        }
        break;
      }
      if (span.length > 1) { // whose fault was it?
        const middle = Math.ceil(span.length / 2);
        for (const piece of span) {
          failures.delete(piece.hash);
        }
        spans.push(span.slice(0, middle), span.slice(middle));
      }
    }
  }
  return failures;
}

/** Ends each job; true where the model seems to be down, so that nothing more should be asked of it now. */
async function conclude(queue: Queue, claim: Claim, failures: Failures, outcome: Outcome): Promise<boolean> {
  const hashes = new Map(claim.pieces.flatMap((piece) => piece.ids.map((id) => [id, piece.hash] as const)));
  const all = [...failures.values()];
  const asked = all.find((error) => error.retryAfter !== undefined)?.retryAfter;
  const down = asked !== undefined ||
    (all.length > 0 && all.length === claim.pieces.length && all.every((one) => !one.refused));
  for (const job of claim.jobs) {
    const errors = job.chunks.map((id) => failures.get(hashes.get(id) ?? "")).filter((error) => error !== undefined);
    const error = errors.find((one) => !one.busy) ?? errors[0];
    if (error?.busy && down) { // no job's fault: it costs none of its tries
      await queue.conclude(job, null, "", asked ?? REST_S);
    } else {
      const hint = error ? "Change or exclude the text, then retry." : "";
      await queue.conclude(job, error?.message ?? null, hint, error ? delay(job.attempts) : 0);
    }
    outcome.jobs += 1;
    outcome.failed += error ? 1 : 0;
  }
  return down;
}

function batches(pieces: Piece[], size: number): Piece[][] {
  const spans: Piece[][] = [];
  for (let at = 0; at < pieces.length; at += size) {
    spans.push(pieces.slice(at, at + size));
  }
  return spans;
}

function delay(attempts: number): number {
  const wait = Math.min(FIRST_DELAY_S * GROWTH ** attempts, LONGEST_DELAY_S);
  return wait * (0.75 + Math.random() / 2);
}

function inWords(thrown: unknown): EmbeddingError {
  if (thrown instanceof EmbeddingError) {
    return thrown;
  }
  console.error("A batch could not be embedded.", thrown);
  return new EmbeddingError("Embedding failed unexpectedly; the function's log has the details.");
}
