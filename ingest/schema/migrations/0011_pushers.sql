-- Which push products may speak for which devices (docs/decisions/0025-pushers.md). A device that was ever bound is spoken
-- for by nobody but who is bound to it now; a binding that has ended keeps its time, for what was under way then.
CREATE TABLE pusher_bindings (
    binding_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    product    text NOT NULL CHECK (product ~ '^[a-z0-9][a-z0-9_-]{0,31}$'),    -- name in push.products_file
    bound_at   timestamptz NOT NULL DEFAULT now(),
    bound_by   text NOT NULL,                      -- a login, `command line`, `import`, `first report`, `migration`
    ended_at   timestamptz,
    ended_by   text,
    ended_why  text
);
CREATE UNIQUE INDEX pusher_bindings_open ON pusher_bindings (device_id, product) WHERE ended_at IS NULL;
CREATE INDEX ON pusher_bindings (device_id);

CREATE TRIGGER pusher_bindings_added AFTER INSERT ON pusher_bindings
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_added();
CREATE TRIGGER pusher_bindings_changed AFTER UPDATE ON pusher_bindings
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_installations_changed();
CREATE TRIGGER pusher_bindings_removed AFTER DELETE ON pusher_bindings
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_installations_removed();

-- A city that had the push door before: each device is bound to the product that brought its newest report. Not one that
-- has a key: a person says whether it has moved to a platform.
INSERT INTO pusher_bindings (device_id, product, bound_by)
SELECT l.device_id, split_part(r.source, ' ', 1), 'migration'
FROM device_latest l
JOIN reports r ON r.received_at = l.last_report_at AND r.report_id = l.last_report_id
JOIN devices d ON d.device_id = l.device_id
WHERE r.authentication = 'pusher' AND split_part(r.source, ' ', 1) ~ '^[a-z0-9][a-z0-9_-]{0,31}$' AND NOT d.has_key
    AND NOT EXISTS (SELECT FROM credentials c WHERE c.device_id = d.device_id);
