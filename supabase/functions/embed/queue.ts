// The queue in the database, as migrations/…_hosted_embedding.sql offers it. Each call is one short transaction.

import postgres from "postgres";

/** A leased job; `reads` proves that it still is ours. */
export interface Job {
  id: number;
  reads: number;
  attempts: number;
  chunks: number[];
}

/** A text to embed and the chunks that consist of it; `hash` says of which content. */
export interface Piece {
  ids: number[];
  hash: string;
  dimensions: number;
  input: string;
}

export interface Claim {
  /** How many jobs were looked at: 0 when nothing is due. */
  claimed: number;
  jobs: Job[];
  pieces: Piece[];
}

export interface Queue {
  beat(): Promise<void>;
  claim(most: number, leaseS: number): Promise<Claim>;
  store(vectors: { ids: number[]; hash: string; vector: number[] }[]): Promise<number>;
  conclude(job: Job, error: string | null, hint: string, delayS: number): Promise<string>;
  close(): Promise<void>;
}

/** The queue of the project's database, for models of these names. It may lie behind a transaction pooler. */
export function openQueue(url: string, names: string[]): Queue {
  const sql = postgres(url, {
    max: 1,
    prepare: false,
    fetch_types: false,
    connect_timeout: 10,
    onnotice: () => {},
    connection: { application_name: "corpuscope embed" },
  });
  const run = crypto.randomUUID();
  const list = `{${names.map((name) => JSON.stringify(name)).join(",")}}`;
  // deno-lint-ignore no-explicit-any
  const call = (query: string, values: any[]): Promise<any> =>
    sql.begin(async (line) => {
      await line.unsafe("set local role corpuscope_worker; set local statement_timeout = '30s'");
      const rows = await line.unsafe(query, values);
      return rows[0]?.result;
    });
  return {
    beat: () => call("select corpuscope.note_edge_run($1::uuid)", [run]),
    claim: (most, leaseS) =>
      call("select corpuscope.claim_embedding($1::text[], $2::int, $3::float8) as result", [list, most, leaseS]),
    store: (vectors) => call("select corpuscope.store_claimed($1::text::jsonb) as result", [JSON.stringify(vectors)]),
    conclude: (job, error, hint, delayS) =>
      call("select corpuscope.conclude_embedding($1::text::jsonb, $2::text[], $3, $4, $5::float8) as result", [
        JSON.stringify(job),
        list,
        error,
        hint,
        delayS,
      ]),
    close: async () => {
      await call("select corpuscope.end_edge_run($1::uuid)", [run]).catch(() => {}); // forgotten after a minute anyway
      await sql.end({ timeout: 5 });
    },
  };
}
