-- Has pg_cron call the Edge Function embed whenever something waits for a vector: embeddings without a worker of one's own.
--
-- Not a migration: it needs pg_cron, pg_net and Vault, which only a Supabase project has, and a team may leave it to workers.
-- Run it as postgres, in the SQL editor or by psql, any number of times; embedding_off.sql takes it back. Before that, deploy the
-- function and keep two secrets in Vault, as docs/supabase.md says:
--     select vault.create_secret('https://<ref>.supabase.co', 'corpuscope_url');
--     select vault.create_secret('<what EMBED_SECRET is>', 'corpuscope_embed_secret');

do $$
begin
    if to_regnamespace('cron') is null then
        create extension pg_cron;
    end if;
    if to_regnamespace('net') is null then
        create extension pg_net;
    end if;
    if to_regnamespace('vault') is null then
        create extension supabase_vault cascade;
    end if;
    if (select count(*) from vault.decrypted_secrets where name in ('corpuscope_url', 'corpuscope_embed_secret')) < 2 then
        raise exception 'Vault lacks corpuscope_url or corpuscope_embed_secret.' using hint = 'The head of this file says how to keep them.';
    end if;
end
$$;

-- Calls the function as often as there is work for, but no more than ``most`` at once. Nothing waits: nothing is called. A call
-- says nothing of the work: each run takes what is due under a lease of its own, so calls may be lost or come twice.
create or replace function corpuscope.wake_embedding(most int default 4, jobs_each int default 16) returns int
language plpgsql set search_path = '' as $$
declare
    due int;
    running int;
    wanted int;
    url text;
    secret text;
begin
    select count(*) into due from (
        select from pgmq.q_embed q where q.vt <= clock_timestamp() limit most * jobs_each
    ) waiting;
    select count(*) into running from corpuscope.edge_runs r where r.seen_at > now() - interval '40 seconds';
    wanted := least(most - running, ceil(due::numeric / jobs_each)::int);
    if wanted <= 0 then
        return 0;
    end if;
    select s.decrypted_secret into strict url from vault.decrypted_secrets s where s.name = 'corpuscope_url';
    select s.decrypted_secret into strict secret from vault.decrypted_secrets s where s.name = 'corpuscope_embed_secret';
    perform net.http_post(
        url := rtrim(url, '/') || '/functions/v1/embed',
        body := '{}'::jsonb,
        headers := jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || secret),
        timeout_milliseconds := 150000
    ) from generate_series(1, wanted);
    return wanted;
end
$$;
revoke all on function corpuscope.wake_embedding(int, int) from public;

select cron.schedule('corpuscope-embed', '10 seconds', 'select corpuscope.wake_embedding()');
-- What workers do now and then: messages that were lost are made again.
select cron.schedule('corpuscope-embed-lost', '*/5 * * * *', 'select corpuscope.requeue_missing()');
-- A run each ten seconds leaves a line of history each time.
select cron.schedule('corpuscope-embed-history', '23 * * * *', $$
    delete from cron.job_run_details d using cron.job j
    where j.jobid = d.jobid and j.jobname like 'corpuscope-embed%' and d.end_time < now() - interval '1 day'
$$);
