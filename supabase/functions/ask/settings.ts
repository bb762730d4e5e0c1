// What the function's secrets say, checked when somebody asks.

import type { Env } from "../_shared/embedding.ts";
import { Refusal } from "./refusals.ts";

/** Providers by name: each has an address that speaks OpenAI's protocol. */
const ADDRESSES: Record<string, string> = {
  openai: "https://api.openai.com/v1",
  anthropic: "https://api.anthropic.com/v1",
  gemini: "https://generativelanguage.googleapis.com/v1beta/openai",
};

export interface Limits {
  /** Characters (UTF-16 units) of a question. */
  question: number;
  /** Passages for one answer, unless asked for fewer or more, and never more than `mostPassages`. */
  passages: number;
  mostPassages: number;
  /** Characters of all passages together in the prompt. */
  context: number;
  /** Tokens that the model may write. */
  tokens: number;
  /** Characters of an answer, whatever the model thinks of `tokens`. */
  answer: number;
  /** How long the model may say nothing, and how long an answer may take. A function has 150 s on the free plan. */
  silenceMs: number;
  answerMs: number;
}

export interface Settings {
  project: string;
  key: string;
  chat: { address: string; key: string; models: string[]; tokenField: string };
  limits: Limits;
}

/** Throws a {@link Refusal} that names what is missing. */
export function readSettings(env: Env): Settings {
  const models = [env("CHAT_MODEL"), ...(env("CHAT_MODELS") ?? "").split(",")].map((name) => name?.trim() ?? "");
  const chosen = [...new Set(models.filter((name) => name))];
  if (!chosen.length) {
    throw unset("CHAT_MODEL", "the model's name at its provider");
  }
  const provider = (env("CHAT_PROVIDER") || (env("CHAT_BASE_URL") ? "" : "openai")).toLowerCase();
  const address = env("CHAT_BASE_URL") || ADDRESSES[provider];
  if (!address) {
    throw unset("CHAT_PROVIDER", `one of ${Object.keys(ADDRESSES).join(", ")}; or set CHAT_BASE_URL`);
  }
  const project = env("SUPABASE_URL");
  if (!project) {
    throw unset("SUPABASE_URL", "the project's address");
  }
  // OpenAI's newer models want another name for it; other servers know the first one only.
  const tokenField = provider === "openai" ? "max_completion_tokens" : "max_tokens";
  const chat = { address: bare(address), key: env("CHAT_API_KEY") ?? "", models: chosen, tokenField };
  return { project: bare(project), key: publishableKey(env), chat, limits: readLimits(env) };
}

function readLimits(env: Env): Limits {
  const number = (name: string, otherwise: number) => Number(env(name)) > 0 ? Number(env(name)) : otherwise;
  const mostPassages = number("ASK_MOST_PASSAGES", 20);
  return {
    question: number("ASK_QUESTION_CHARACTERS", 4_000),
    passages: Math.min(8, mostPassages),
    mostPassages,
    context: number("ASK_CONTEXT_CHARACTERS", 24_000),
    tokens: number("ASK_ANSWER_TOKENS", 1_024),
    answer: 8 * number("ASK_ANSWER_TOKENS", 1_024),
    silenceMs: 1000 * number("ASK_SILENCE_S", 45),
    answerMs: 1000 * number("ASK_ANSWER_S", 120),
  };
}

/** The runtime has older keys by their name, newer ones as {"default": "sb_publishable_…"}. */
function publishableKey(env: Env): string {
  let newer: unknown[] = [];
  try {
    newer = Object.values(JSON.parse(env("SUPABASE_PUBLISHABLE_KEYS") || "{}"));
  } catch {
    // no list of keys: then the single ones count
  }
  const key = [env("SUPABASE_PUBLISHABLE_KEY"), ...newer, env("SUPABASE_ANON_KEY")].find((one) => one);
  if (typeof key !== "string") {
    throw unset("SUPABASE_PUBLISHABLE_KEY", "the project's publishable key");
  }
  return key;
}

function unset(name: string, what: string): Refusal {
  return new Refusal(501, "Asking isn't set up here.", `Set the function's secret ${name}: ${what}.`);
}

function bare(address: string): string {
  return address.replace(/\/+$/, "");
}
