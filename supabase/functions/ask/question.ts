// What somebody may send: {question, collection?, top_k?, model?}, in so many bytes.

import { Refusal } from "./refusals.ts";
import type { Wanted } from "./searching.ts";
import type { Settings } from "./settings.ts";

const MOST_BYTES = 64 * 1024;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Throws a {@link Refusal} that says what is wrong with the request's body. */
export async function readQuestion(request: Request, settings: Settings): Promise<Wanted & { model: string }> {
  const { limits, chat } = settings;
  const body = Object(await readJson(request));
  const question = typeof body.question === "string" ? body.question.toWellFormed().replaceAll("\0", "").trim() : "";
  if (!question) {
    throw new Refusal(400, "There is no question.", 'Send JSON like {"question": "What feeds on krill?"}.');
  }
  if (question.length > limits.question) {
    throw new Refusal(400, `A question has at most ${limits.question} characters.`, "Ask more briefly.");
  }
  const collection = body.collection ?? null;
  if (collection !== null && !(typeof collection === "string" && UUID.test(collection))) {
    throw new Refusal(400, "collection is the id of a collection.", "Leave it out to ask all that you may see.");
  }
  const topK = body.top_k ?? limits.passages;
  if (!Number.isInteger(topK) || topK < 1 || topK > limits.mostPassages) {
    throw new Refusal(400, `top_k is a whole number from 1 to ${limits.mostPassages}.`);
  }
  const model = body.model ?? chat.models[0];
  if (!chat.models.includes(model)) {
    throw new Refusal(400, "This model is not on offer.", `On offer: ${chat.models.join(", ")}.`);
  }
  return { question, collection, topK, model };
}

async function readJson(request: Request): Promise<unknown> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const piece of request.body ?? []) {
    size += piece.length;
    if (size > MOST_BYTES) {
      throw new Refusal(413, `A request has at most ${MOST_BYTES / 1024} KB.`, "Ask more briefly.");
    }
    pieces.push(piece);
  }
  try {
    return JSON.parse(await new Blob(pieces).text());
  } catch {
    throw new Refusal(400, "The request is no JSON.", 'Send JSON like {"question": "What feeds on krill?"}.');
  }
}
