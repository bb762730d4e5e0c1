-- Takes back what embedding_on.sql did; what waits for a vector is left to workers. Any number of times.

do $$
begin
    if to_regclass('cron.job') is not null then
        perform cron.unschedule(jobname) from cron.job where jobname like 'corpuscope-embed%';
    end if;
end
$$;
drop function if exists corpuscope.wake_embedding(int, int);
