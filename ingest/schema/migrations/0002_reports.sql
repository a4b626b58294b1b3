-- What came in: every report with its outcome, its raw bytes, its readings; what could not be taken; and how far
-- ingest has come (DESIGN sections 3.5 and 3.6). Written by ingest only, in one transaction per fetch.

CREATE TABLE reports (
    received_at     timestamptz NOT NULL,
    report_id       uuid NOT NULL,                 -- minted by the gateway
    device          text NOT NULL,
    device_id       bigint,                        -- NULL: not in the registry when it was taken
    meter_id        bigint,
    door            text NOT NULL,
    authentication  text NOT NULL,
    source          text NOT NULL,
    content_format  integer NOT NULL,
    payload_bytes   integer NOT NULL,
    decoder         text,
    outcome         text NOT NULL CHECK (outcome IN ('stored', 'partial', 'duplicate', 'dead_lettered')),
    reason          text,                          -- why it is not 'stored'
    identity        bigint NOT NULL,               -- 64-bit hash by which a device's own repeat is recognised
    device_seq      bigint,
    first_ts        timestamptz,
    last_ts         timestamptz,
    readings        integer NOT NULL DEFAULT 0,    -- in the report
    readings_stored integer NOT NULL DEFAULT 0,    -- new in the database
    battery_mv      integer,
    rsrp_ddbm       integer,
    snr_ddb         integer,
    ecl             smallint,
    cell_id         bigint,
    temperature_dc  integer,
    pressure_kpa    integer,
    valve           smallint,
    alarms          integer NOT NULL DEFAULT 0,
    device_time     timestamptz,
    extra           jsonb,
    stream_sequence bigint,                        -- of the stream message it came in; NULL: from no message
    taken_at        timestamptz NOT NULL DEFAULT now(),    -- start of the ingest transaction that wrote the row
    PRIMARY KEY (received_at, report_id)
);
CREATE INDEX reports_identity ON reports (identity);    -- a hash that contains the device
CREATE INDEX reports_meter ON reports (meter_id, received_at DESC);

CREATE TABLE raw_reports (
    received_at timestamptz NOT NULL,
    report_id   uuid NOT NULL,
    payload     bytea NOT NULL
);
CREATE INDEX raw_reports_key ON raw_reports (received_at, report_id);

CREATE TABLE readings (
    meter_id bigint NOT NULL,
    ts       timestamptz NOT NULL,
    kind     smallint NOT NULL,                    -- metering.model.ReadingKind
    index_ml bigint NOT NULL,
    PRIMARY KEY (meter_id, ts, kind)
);

-- The same key with another value: the first stays, the other is kept here (DESIGN section 4).
CREATE TABLE conflicts (
    conflict_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    meter_id        bigint NOT NULL,
    ts              timestamptz NOT NULL,
    kind            smallint NOT NULL,
    stored_index_ml bigint NOT NULL,
    other_index_ml  bigint NOT NULL,
    report_id       uuid NOT NULL,
    seen_at         timestamptz NOT NULL
);
CREATE INDEX ON conflicts (meter_id, ts);

-- Readings that a replay changed or withdrew, with the value they had: nothing that was stored is forgotten.
CREATE TABLE corrections (
    correction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    replay_id     bigint NOT NULL,
    meter_id      bigint NOT NULL,
    ts            timestamptz NOT NULL,
    kind          smallint NOT NULL,
    old_index_ml  bigint NOT NULL,
    new_index_ml  bigint,                          -- NULL: withdrawn, no report holds it today
    report_id     uuid,                            -- that says the new value; NULL: withdrawn
    corrected_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON corrections (meter_id, ts);

-- One row per replay of stored reports, and how far it has come.
CREATE TABLE replays (
    replay_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    choice      jsonb NOT NULL,                    -- the options it was started with
    until_at    timestamptz NOT NULL,              -- reports received before
    last_meter  bigint NOT NULL DEFAULT 0,         -- meters up to this id are done
    counts      jsonb NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE TABLE dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id      uuid NOT NULL UNIQUE,
    received_at    timestamptz NOT NULL,
    device         text NOT NULL,
    door           text NOT NULL,
    authentication text NOT NULL,
    source         text NOT NULL,
    content_format integer NOT NULL,
    payload        bytea NOT NULL,
    reason         text NOT NULL,                  -- DecodeError.reason or another short stable word
    message        text NOT NULL,
    replayed_at    timestamptz,                    -- NULL: still waiting for a person or a better decoder
    attempts       integer NOT NULL DEFAULT 0
);
CREATE INDEX dead_letters_open ON dead_letters (received_at DESC) WHERE replayed_at IS NULL;

-- The newest of each device, for lists that must not search the past. No index beside the key: then each report's
-- update changes no index at all (heap-only), for which the pages keep room.
CREATE TABLE device_latest (
    device_id      bigint PRIMARY KEY,
    meter_id       bigint,
    last_report_at timestamptz NOT NULL,
    last_report_id uuid NOT NULL,
    last_ts        timestamptz,
    last_index_ml  bigint,
    battery_mv     integer,
    rsrp_ddbm      integer,
    snr_ddb        integer,
    ecl            smallint,
    cell_id        bigint,
    temperature_dc integer,
    pressure_kpa   integer,
    valve          smallint,
    alarms         integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- The lease and the watermark are one row: who may write is checked by the very update that says how far it wrote.
CREATE TABLE watermarks (
    partition      integer PRIMARY KEY,
    stream_created timestamptz,                    -- which life of the stream `sequence` counts in
    sequence       bigint NOT NULL DEFAULT 0,      -- last stream sequence taken
    fence          bigint NOT NULL DEFAULT 0,      -- grows with each new holder
    holder         text,
    lease_until    timestamptz
);

-- A database copied since then can still be restored: the trimmer keeps the stream above `sequence`.
CREATE TABLE restore_points (
    label          text NOT NULL,
    partition      integer NOT NULL,
    stream_created timestamptz,                    -- as in watermarks
    sequence       bigint NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (label, partition)
);

-- received = stored + partial + duplicate + dead_lettered, per door and local day of receipt, kept in the ingest
-- transaction; `repeats` were answered by the gateway from memory and are not in the stream.
CREATE TABLE accounting (
    door          text NOT NULL,
    day           date NOT NULL,
    received      bigint NOT NULL DEFAULT 0,
    stored        bigint NOT NULL DEFAULT 0,
    partial       bigint NOT NULL DEFAULT 0,
    duplicate     bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    repeats       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (door, day)
);
