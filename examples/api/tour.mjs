// A tour of the instant API with supabase-js: insert a text, find it, ask, read the answer and its sources.
import { createClient } from "@supabase/supabase-js";

const { SUPABASE_URL, SUPABASE_KEY, ACCESS_TOKEN, QUESTION_VECTOR } = process.env;
const client = createClient(SUPABASE_URL, SUPABASE_KEY, { db: { schema: "api" }, accessToken: async () => ACCESS_TOKEN });
const pause = () => new Promise((done) => setTimeout(done, 500));
async function need(request) {
  const { data, error } = await request;
  if (error) throw new Error(`${error.message} ${error.hint ?? ""}`);
  return data;
}

// A collection of your own; its text becomes searchable with no more code.
const collection = await need(client.from("collections").insert({ name: `Tour ${Date.now()}` }).select("id").single());
let document = await need(
  client
    .from("documents")
    .insert({
      collection_id: collection.id,
      name: "whales.md",
      text: "# Whales\n\nThe blue whale is the largest animal. It feeds on krill.",
    })
    .select("id,stage")
    .single(),
);
while (!["ready", "failed", "cancelled"].includes(document.stage)) {
  await pause();
  document = await need(client.from("documents").select("id,stage,error").eq("id", document.id).single());
}
console.log("document:", document.stage);

// By its words alone; with a vector of the question under the collection's model, by its meaning too.
const wanted = { query: "What does the blue whale eat?", collection: collection.id, top_k: 3 };
if (QUESTION_VECTOR) wanted.embedding = JSON.parse(QUESTION_VECTOR);
for (const hit of await need(client.rpc("search_chunks", wanted))) {
  console.log("hit:", hit.document_name, hit.start_char, hit.end_char, hit.similarity !== null);
}

// Asking is inserting a message; its answer is written by a worker and can be read while it is.
const chat = await need(client.from("chats").insert({ collection_id: collection.id }).select("id").single());
const question = await need(
  client.from("messages").insert({ chat_id: chat.id, content: wanted.query }).select("answer_id").single(),
);
let answer = { phase: "queued" };
while (!["complete", "failed", "stopped"].includes(answer.phase)) {
  await pause();
  answer = await need(
    client
      .from("messages")
      .select("phase,content,error,sources(number,document_name,quotes)")
      .eq("id", question.answer_id)
      .single(),
  );
}
console.log("answer:", answer.content);
for (const source of answer.sources) {
  console.log("source:", source.number, source.document_name, source.quotes.length > 0);
}

await need(client.from("documents").delete().eq("id", document.id));
