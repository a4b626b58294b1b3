-- One group role per program with only its own rights; logins are made members of them by whoever deploys. Roles
-- belong to the whole server, so they may exist already; where the migrating user may not create them, whoever runs
-- the server does, and the grants are applied to those that exist.
DO $$
DECLARE
    program text;
BEGIN
    FOREACH program IN ARRAY ARRAY['nbwater_ingest', 'nbwater_api', 'nbwater_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = program) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', program);
            EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role % was not created', program;
            END;
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nbwater_ingest') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO nbwater_ingest;
        REVOKE SELECT ON users, sessions, api_tokens FROM nbwater_ingest;
        GRANT INSERT, UPDATE, DELETE ON reports, raw_reports, readings, conflicts, dead_letters, device_latest,
            watermarks, restore_points, accounting, touched_spans, settled_days, alerts, alert_events
            TO nbwater_ingest;
        GRANT SELECT, DELETE ON outbox TO nbwater_ingest;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nbwater_api') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO nbwater_api;
        GRANT INSERT, UPDATE, DELETE ON users, sessions, api_tokens TO nbwater_api;
        GRANT INSERT ON alert_events, audit_log TO nbwater_api;
        GRANT UPDATE (state, closed_at) ON alerts TO nbwater_api;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nbwater_reader') THEN
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO nbwater_reader;
        REVOKE SELECT ON users, sessions, api_tokens FROM nbwater_reader;
    END IF;
END $$;
