-- What the readings mean: settled days, the spans still to settle, and alerts with their evidence.

-- Append-only, so that ingest never waits for settlement: the job takes rows up to an id and deletes those.
CREATE TABLE touched_spans (
    span_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id bigint NOT NULL,
    from_ts  timestamptz NOT NULL,
    to_ts    timestamptz NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now()
);

-- One row per meter and local day. Days telescope: the consumption and excluded volumes of a span of days are the
-- difference of its outer midnight indices, exactly.
CREATE TABLE settled_days (
    meter_id       bigint NOT NULL,
    day            date NOT NULL,                   -- in the utility's time zone
    start_index_ml bigint NOT NULL,                 -- at the day's first instant, or the first reading ever
    end_index_ml   bigint NOT NULL,                 -- at the next day's first instant, or the newest reading
    consumption_ml bigint NOT NULL CHECK (consumption_ml >= 0),
    excluded_ml    bigint NOT NULL DEFAULT 0,       -- end - start - consumption: steps that are not water
    quality        text NOT NULL CHECK (quality IN ('measured', 'interpolated', 'estimated', 'edited')),
    reasons        text[] NOT NULL DEFAULT '{}',    -- 'gap', 'negative_step', 'impossible_flow', …
    complete       boolean NOT NULL,                -- readings reach both midnights
    readings       integer NOT NULL,
    settled_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (meter_id, day)
) WITH (fillfactor = 60);                           -- the next day's report completes each row: in place, without an index
CREATE INDEX ON settled_days (day);

CREATE TABLE alerts (
    alert_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text NOT NULL,                 -- 'continuous_flow', 'silent', 'meter_alarm:<alarm name>'
    severity         text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    meter_id         bigint REFERENCES meters,
    service_point_id bigint REFERENCES service_points,
    state            text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved', 'dismissed')),
    started_at       timestamptz NOT NULL,          -- when the fault began, as far as is known
    raised_at        timestamptz NOT NULL,          -- when the platform could know
    last_seen_at     timestamptz NOT NULL,
    ended_at         timestamptz,                   -- when the evidence ended
    closed_at        timestamptz,
    rate_ml_h        bigint,
    loss_ml          bigint,
    evidence         jsonb NOT NULL
);
CREATE UNIQUE INDEX alerts_one_active ON alerts (meter_id, kind) WHERE state IN ('open', 'acknowledged');
CREATE INDEX alerts_by_state ON alerts (state, raised_at DESC);
CREATE INDEX ON alerts (meter_id, raised_at DESC);

CREATE TABLE alert_events (
    alert_id   bigint NOT NULL REFERENCES alerts,
    at         timestamptz NOT NULL DEFAULT now(),
    from_state text,
    to_state   text NOT NULL,
    actor      text NOT NULL,                       -- login, or 'platform'
    reason     text NOT NULL DEFAULT ''
);
CREATE INDEX ON alert_events (alert_id, at);
