// Answers a question from the passages that its asker may see. docs/supabase.md says how to deploy and call it.

import { chooseEmbedder } from "../_shared/embedding.ts";
import { handle } from "./handler.ts";

const env = (name: string) => Deno.env.get(name);
const embedder = chooseEmbedder(env);

Deno.serve((request) => handle(request, { env, embedder, ask: fetch }));
