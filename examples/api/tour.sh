#!/bin/sh
# A tour of the instant API with curl: insert a text, find it, ask, read the answer and its sources.
# Single values come as CSV, so that nothing else is needed to take an id out of an answer; without that header answers are JSON.
set -eu

api() {
  path=$1
  shift
  curl --fail-with-body --silent --show-error "$SUPABASE_URL/rest/v1/$path" \
    -H "apikey: $SUPABASE_KEY" -H "Authorization: Bearer $ACCESS_TOKEN" \
    -H "Accept-Profile: api" -H "Content-Profile: api" \
    -H "Content-Type: application/json" -H "Prefer: return=representation" "$@"
}
value() { api "$@" -H "Accept: text/csv" | tail -n 1; }

# A collection of your own; its text becomes searchable with no more code.
collection=$(value "collections?select=id" -d "{\"name\": \"Tour $(date +%s) $$\"}")
document=$(value "documents?select=id" -d @- <<END
{"collection_id": "$collection", "name": "whales.md",
 "text": "# Whales\n\nThe blue whale is the largest animal. It feeds on krill."}
END
)
stage=stored
until [ "$stage" = ready ] || [ "$stage" = failed ] || [ "$stage" = cancelled ]; do
  sleep 0.5
  stage=$(value "documents?id=eq.$document&select=stage")
done
echo "document: $stage"

# By its words alone; with a vector of the question under the collection's model, by its meaning too.
api "rpc/search_chunks?select=document_name,start_char,end_char,similarity" -d @- <<END
{"query": "What does the blue whale eat?", "collection": "$collection", "top_k": 3,
 "embedding": ${QUESTION_VECTOR:-null}}
END
echo

# Asking is inserting a message; its answer is written by a worker and can be read while it is.
chat=$(value "chats?select=id" -d "{\"collection_id\": \"$collection\"}")
answer=$(value "messages?select=answer_id" -d "{\"chat_id\": \"$chat\", \"content\": \"What does the blue whale eat?\"}")
phase=queued
until [ "$phase" = complete ] || [ "$phase" = failed ] || [ "$phase" = stopped ]; do
  sleep 0.5
  phase=$(value "messages?id=eq.$answer&select=phase")
done
api "messages?id=eq.$answer&select=content,sources(number,document_name,quotes)"
echo

api "documents?id=eq.$document&select=id" -X DELETE
