"""A tour of the instant API with supabase-py: insert a text, find it, ask, read the answer and its sources."""

import json
import os
import time

from supabase import ClientOptions, create_client

client = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_KEY"], ClientOptions(schema="api"))
client.postgrest.auth(os.environ["ACCESS_TOKEN"])

# A collection of your own; its text becomes searchable with no more code.
collection = client.table("collections").insert({"name": f"Tour {time.time()}"}).execute().data[0]
document = (
    client.table("documents")
    .insert(
        {
            "collection_id": collection["id"],
            "name": "whales.md",
            "text": "# Whales\n\nThe blue whale is the largest animal. It feeds on krill.",
        }
    )
    .execute()
    .data[0]
)
while document["stage"] not in ("ready", "failed", "cancelled"):
    time.sleep(0.5)
    document = client.table("documents").select("id,stage,error").eq("id", document["id"]).single().execute().data
print("document:", document["stage"])

# By its words alone; with a vector of the question under the collection's model, by its meaning too.
wanted = {"query": "What does the blue whale eat?", "collection": collection["id"], "top_k": 3}
if vector := os.environ.get("QUESTION_VECTOR"):
    wanted["embedding"] = json.loads(vector)
for hit in client.rpc("search_chunks", wanted).execute().data:
    print("hit:", hit["document_name"], hit["start_char"], hit["end_char"], hit["similarity"] is not None)

# Asking is inserting a message; its answer is written by a worker and can be read while it is.
chat = client.table("chats").insert({"collection_id": collection["id"]}).execute().data[0]
question = client.table("messages").insert({"chat_id": chat["id"], "content": wanted["query"]}).execute().data[0]
answer = {"phase": "queued"}
while answer["phase"] not in ("complete", "failed", "stopped"):
    time.sleep(0.5)
    answer = (
        client.table("messages")
        .select("phase,content,error,sources(number,document_name,quotes)")
        .eq("id", question["answer_id"])
        .single()
        .execute()
        .data
    )
print("answer:", answer["content"])
for source in answer["sources"]:
    print("source:", source["number"], source["document_name"], len(source["quotes"]) > 0)

client.table("documents").delete().eq("id", document["id"]).execute()
