-- The job queue; see app/src/jobs. All times are the database's, so the clocks of processes do not
-- matter.

CREATE TABLE jobs (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL,
    key         text        NOT NULL,
    -- Jobs of the same queue never run at the same time. NULL: no restriction.
    queue       text,
    -- Lower runs first.
    priority    smallint    NOT NULL,
    -- Ids and numbers, never document content.
    payload     jsonb       NOT NULL,
    -- The W3C trace context of the code that added the job.
    traceparent text,
    run_at      timestamptz NOT NULL DEFAULT now(),
    -- Incremented by every transient error.
    attempt     integer     NOT NULL DEFAULT 1,
    -- How often the current attempt was started. More than 1 after crashes.
    starts      smallint    NOT NULL DEFAULT 0,
    max_starts  smallint    NOT NULL,
    last_error  text,
    -- The worker that runs the job. Another worker may take the job over after `lease_until`.
    worker      uuid,
    lease_until timestamptz,
    -- A newer job with the same key was added while this one runs, or it was cancelled. The job is
    -- deleted when it ends, however it ends.
    superseded  boolean     NOT NULL DEFAULT false,
    -- Given up after `max_starts`.
    dead_at     timestamptz,
    CHECK ((worker IS NULL) = (lease_until IS NULL)),
    CHECK (worker IS NOT NULL OR NOT superseded),
    CHECK (worker IS NULL OR dead_at IS NULL)
);
-- At most one job per key is waiting or dead.
CREATE UNIQUE INDEX jobs_key ON jobs (key) WHERE worker IS NULL;
-- At most one job per queue is running. Few rows, so this index also finds all running jobs.
CREATE UNIQUE INDEX jobs_running ON jobs (queue) WHERE worker IS NOT NULL;
CREATE INDEX jobs_ready ON jobs (priority, run_at, id) WHERE worker IS NULL AND dead_at IS NULL;
CREATE INDEX jobs_queue ON jobs (queue) WHERE worker IS NULL AND dead_at IS NULL;

-- Everything that adds, removes or reschedules jobs of a key locks the key first, and then rows.
-- Claiming a job locks only its row.
CREATE FUNCTION lock_job_key(job_key text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('job:' || job_key, 0));
$$;

-- Adds a job. Replaces the waiting or dead job with the same key. If `only_if_absent`, does nothing
-- if a job with this key is waiting or running.
CREATE FUNCTION add_job(
    job_kind text, job_key text, job_queue text, job_priority smallint, job_payload jsonb,
    job_traceparent text, delay interval, job_max_starts smallint, only_if_absent boolean
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    added bigint;
BEGIN
    PERFORM lock_job_key(job_key);
    IF only_if_absent AND EXISTS (
        SELECT FROM jobs WHERE key = job_key AND dead_at IS NULL AND NOT superseded
    ) THEN
        RETURN;
    END IF;
    INSERT INTO jobs (kind, key, queue, priority, payload, traceparent, run_at, max_starts)
    VALUES (job_kind, job_key, job_queue, job_priority, job_payload, job_traceparent, now() + delay, job_max_starts)
    ON CONFLICT (key) WHERE worker IS NULL DO UPDATE
    SET kind = excluded.kind, queue = excluded.queue, priority = excluded.priority, payload = excluded.payload,
        traceparent = excluded.traceparent, run_at = excluded.run_at, max_starts = excluded.max_starts,
        attempt = 1, starts = 0, last_error = NULL, dead_at = NULL
    RETURNING id INTO added;
    -- After the insert, so that a job that was claimed during the insert is seen.
    UPDATE jobs SET superseded = true
     WHERE worker IS NOT NULL AND key = job_key AND id <> added AND NOT superseded;
    IF delay <= interval '0' THEN
        NOTIFY jobs;
    END IF;
END $$;

-- Removes the waiting or dead job with this key. A running job is not rescheduled when it fails.
CREATE FUNCTION cancel_job(job_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_job_key(job_key);
    DELETE FROM jobs WHERE key = job_key AND worker IS NULL;
    UPDATE jobs SET superseded = true WHERE worker IS NOT NULL AND key = job_key AND NOT superseded;
END $$;
