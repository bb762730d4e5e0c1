// Embeds what waits in the queue, or the texts that it is given. docs/supabase.md says how to deploy and call it.

import { chooseEmbedder } from "../_shared/embedding.ts";
import { handle } from "./handler.ts";
import { openQueue } from "./queue.ts";

const env = (name: string) => Deno.env.get(name);
const embedder = chooseEmbedder(env);

Deno.serve((request) => handle(request, { env, embedder, openQueue }));
