-- Meters that the leak detector must learn from months of readings wait behind those that it goes on with: an upgrade or
-- an import of history holds up no report of the others (ingest/leaks/live/stage.py).
ALTER TABLE leak_due ADD COLUMN put_off boolean NOT NULL DEFAULT false;
DROP INDEX leak_due_due_at_idx;
CREATE INDEX leak_due_in_turn ON leak_due (put_off, due_at);

-- Earlier states are compressed, to half: one is written in ten days and hardly ever read. The present one, written each
-- day, is not (0010).
ALTER TABLE leak_checkpoints ALTER COLUMN record SET STORAGE MAIN;

-- The newest alerts, whatever their state: closed ones become many.
CREATE INDEX alerts_newest ON alerts (raised_at DESC, alert_id DESC);
