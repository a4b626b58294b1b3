-- A local day of a meter whose volume a person gave or took away. Laid over what readings say when days are settled.
-- Versioned as amendments are: a row is never changed but withdrawn.
CREATE TABLE day_edits (
    edit_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id      bigint NOT NULL REFERENCES meters,
    day           date NOT NULL,                      -- of the utility's time zone
    begins_at     timestamptz NOT NULL,               -- the local midnight at which it begins
    volume_ml     bigint CHECK (volume_ml >= 0),      -- of the register; NULL: void, nothing counts
    reason        text NOT NULL,
    made_by       text NOT NULL,
    made_at       timestamptz NOT NULL DEFAULT now(),
    withdrawn_at  timestamptz,
    withdrawn_by  text,
    withdrawn_why text
);
CREATE UNIQUE INDEX day_edits_in_force ON day_edits (meter_id, day) WHERE withdrawn_at IS NULL;
CREATE INDEX ON day_edits (meter_id, made_at DESC);

CREATE FUNCTION day_edits_touch() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO touched_spans (meter_id, from_ts, to_ts) SELECT meter_id, begins_at, begins_at FROM new_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER day_edits_added AFTER INSERT ON day_edits
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION day_edits_touch();
CREATE TRIGGER day_edits_changed AFTER UPDATE ON day_edits
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION day_edits_touch();
