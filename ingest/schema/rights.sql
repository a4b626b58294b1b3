-- Who may do what, stated anew on each `nbwater migrate`. One group role per program with only its own rights; whoever
-- deploys makes logins and their memberships. Roles belong to the whole server: they may exist already, and where the
-- migrating user may not create them, whoever runs the server does and `nbwater migrate` is run again.
-- Every table stands here by name: one that is forgotten is closed, and a test says so.
-- Identity columns need no rights on their sequences; ingest reads that of the outbox to see that the registry changed.
DO $$
DECLARE
    program text;
BEGIN
    FOREACH program IN ARRAY ARRAY['nbwater_ingest', 'nbwater_settlement', 'nbwater_api', 'nbwater_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = program) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', program);
            EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
                RAISE NOTICE 'role % was not created', program;
            END;
        END IF;
    END LOOP;

    FOREACH program IN ARRAY ARRAY['nbwater_ingest', 'nbwater_settlement', 'nbwater_api', 'nbwater_reader'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = program);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', program);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', program);
        EXECUTE format(
            'GRANT SELECT ON schema_migrations, zones, service_points, meters, devices, installations, outbox, '
            'reports, raw_reports, readings, conflicts, dead_letters, device_latest, watermarks, restore_points, '
            'accounting, touched_spans, settled_days, alerts, alert_events, corrections, replays, strangers, commands, '
            'command_events, command_outbox, firmware_images, campaigns, campaign_meters, amendments, billing_periods, '
            'billing_entries, billing_corrections, alert_meters, zone_flows, zone_hours, zone_days, leak_states, '
            'leak_checkpoints, leak_due, alert_suppressions, pusher_bindings, day_edits, late_zone_hours TO %I', program);
    END LOOP;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nbwater_ingest') THEN
        GRANT INSERT, UPDATE, DELETE ON reports, raw_reports, readings, conflicts, dead_letters, device_latest,
            watermarks, restore_points, accounting, alerts
            TO nbwater_ingest;
        GRANT INSERT ON touched_spans, alert_events TO nbwater_ingest;
        GRANT SELECT ON credentials TO nbwater_ingest;     -- sealed; carried to the gateways
        GRANT UPDATE (expires_at, revoked_at, revoked_why) ON credentials TO nbwater_ingest;    -- keys that end
        GRANT INSERT (device_id, product, bound_by) ON pusher_bindings TO nbwater_ingest;    -- first reports
        GRANT INSERT, UPDATE, DELETE ON strangers TO nbwater_ingest;
        GRANT UPDATE ON commands TO nbwater_ingest;
        GRANT INSERT ON command_events TO nbwater_ingest;
        GRANT INSERT, DELETE ON command_outbox TO nbwater_ingest;
        GRANT UPDATE (state, why) ON campaigns TO nbwater_ingest;
        GRANT DELETE ON outbox TO nbwater_ingest;
        GRANT SELECT ON SEQUENCE outbox_outbox_id_seq TO nbwater_ingest;    -- its mark says that the registry changed
        IF NOT has_database_privilege('nbwater_ingest', current_database(), 'TEMPORARY') THEN  -- not everybody has it
            BEGIN
                EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO nbwater_ingest', current_database());
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE NOTICE 'whoever owns the database grants TEMPORARY to nbwater_ingest';
            END;
        END IF;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nbwater_settlement') THEN
        GRANT INSERT, UPDATE ON settled_days, alerts, zone_hours, zone_days TO nbwater_settlement;
        GRANT INSERT, UPDATE, DELETE ON leak_states, leak_checkpoints, leak_due, late_zone_hours TO nbwater_settlement;
        GRANT DELETE ON settled_days TO nbwater_settlement;    -- days whose last reading a person took away
        GRANT INSERT ON alert_events TO nbwater_settlement;
        GRANT DELETE ON touched_spans, reports, raw_reports TO nbwater_settlement;
        GRANT INSERT, DELETE ON alert_meters TO nbwater_settlement;
        GRANT EXECUTE ON FUNCTION billing_recheck(bigint[], date, date, text) TO nbwater_settlement;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'nbwater_api') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON users, sessions, api_tokens TO nbwater_api;
        GRANT SELECT, INSERT ON audit_log TO nbwater_api;
        GRANT INSERT ON alert_events TO nbwater_api;
        GRANT UPDATE (state, closed_at) ON alerts TO nbwater_api;
        GRANT INSERT ON alert_suppressions TO nbwater_api;
        GRANT UPDATE (valid_to, ended_by) ON alert_suppressions TO nbwater_api;
        GRANT INSERT, UPDATE ON commands TO nbwater_api;
        GRANT INSERT ON command_events, firmware_images, campaign_meters TO nbwater_api;
        GRANT INSERT, UPDATE ON campaigns TO nbwater_api;
        GRANT UPDATE (dismissed_at, dismissed_by) ON strangers TO nbwater_api;
        GRANT SELECT (credential_id, device_id, kind, key_id, created_at, created_by, replaces_id, expires_at, revoked_at,
                      revoked_why) ON credentials TO nbwater_api;
        GRANT INSERT (device_id, kind, key_id, sealed, created_by, replaces_id) ON credentials TO nbwater_api;
        GRANT UPDATE (expires_at, revoked_at, revoked_why) ON credentials TO nbwater_api;
        GRANT INSERT (device_id, product, bound_by) ON pusher_bindings TO nbwater_api;
        GRANT UPDATE (ended_at, ended_by, ended_why) ON pusher_bindings TO nbwater_api;
        GRANT INSERT ON amendments, day_edits, billing_periods, billing_entries TO nbwater_api;
        GRANT UPDATE (withdrawn_at, withdrawn_by, withdrawn_why) ON day_edits TO nbwater_api;
        GRANT UPDATE (withdrawn_at, withdrawn_by, withdrawn_why) ON amendments TO nbwater_api;
        GRANT UPDATE (state, closed_by, closed_at, entries, billed_ml) ON billing_periods TO nbwater_api;
        GRANT DELETE ON billing_periods TO nbwater_api;    -- open ones; those with entries are held by them
        GRANT UPDATE (carried_to) ON billing_corrections TO nbwater_api;
        GRANT INSERT (code, name, kind, boundary, mains_m, connections, pressure_m),
              UPDATE (parent_id, name, kind, boundary, mains_m, connections, pressure_m) ON zones TO nbwater_api;
        GRANT INSERT (zone_id, meter_id, direction, valid_from, valid_to), UPDATE (direction, valid_to)
              ON zone_flows TO nbwater_api;
        GRANT UPDATE (longitude, latitude) ON service_points TO nbwater_api;
        GRANT EXECUTE ON FUNCTION enrol_stranger(text, text, boolean) TO nbwater_api;
    END IF;
END $$;
