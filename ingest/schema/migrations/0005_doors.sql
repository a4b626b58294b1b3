-- Device keys, commands to meters, and devices that knock without being known.

-- Sealed with the utility's master key before they come here (metering/credentials.py); the database never sees a key.
CREATE TABLE credentials (
    credential_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id     bigint NOT NULL REFERENCES devices ON DELETE CASCADE,
    kind          smallint NOT NULL CHECK (kind IN (1, 2, 3)),    -- metering.credentials.CredentialKind
    key_id        bytea NOT NULL CHECK (length(key_id) BETWEEN 0 AND 64),
    sealed        bytea NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text NOT NULL,
    replaces_id   bigint,                          -- rotation: the key it takes over from, valid beside it until then
    expires_at    timestamptz,                     -- the older key of a rotation ends here
    revoked_at    timestamptz,
    revoked_why   text
);
CREATE UNIQUE INDEX credentials_valid ON credentials (kind, key_id) WHERE revoked_at IS NULL;
CREATE INDEX ON credentials (device_id);

CREATE TRIGGER credentials_added AFTER INSERT ON credentials
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_added();
CREATE TRIGGER credentials_changed AFTER UPDATE ON credentials
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_installations_changed();
CREATE TRIGGER credentials_removed AFTER DELETE ON credentials
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_installations_removed();

-- Who knocked and is not known; bounded by whoever writes it.
CREATE TABLE strangers (
    name       text PRIMARY KEY,
    door       text NOT NULL,
    source     text NOT NULL,
    reason     text NOT NULL,
    knocks     bigint NOT NULL DEFAULT 1,
    first_at   timestamptz NOT NULL DEFAULT now(),
    last_at    timestamptz NOT NULL DEFAULT now(),
    dismissed_at timestamptz,
    dismissed_by text
);

CREATE TABLE commands (
    command_id  bigint PRIMARY KEY,                -- 63 random bits: the 8 bytes that travel, big-endian
    device_id   bigint NOT NULL REFERENCES devices,
    meter_id    bigint REFERENCES meters,
    position    bigint GENERATED ALWAYS AS IDENTITY,    -- per meter the order of handing over
    kind        smallint NOT NULL,                 -- metering.commands.CommandKind
    arguments   jsonb NOT NULL,                    -- by the small integers of PROTOCOLS G; bytes as {"hex": "…"}
    state       text NOT NULL CHECK (state IN ('awaiting_approval', 'queued', 'handed_over', 'confirmed', 'failed',
                                               'refused', 'expired', 'cancelled')),
    reason      text NOT NULL DEFAULT '',          -- why a person wants it
    filed_by    text NOT NULL,
    filed_at    timestamptz NOT NULL DEFAULT now(),
    approved_by text,
    approved_at timestamptz,
    expires_at  timestamptz NOT NULL,
    handed_over_at timestamptz,                    -- first
    handovers   integer NOT NULL DEFAULT 0,
    ended_at    timestamptz,
    campaign_id bigint
);
CREATE INDEX commands_open ON commands (device_id, position)
    WHERE state IN ('awaiting_approval', 'queued', 'handed_over');
CREATE INDEX ON commands (meter_id, filed_at DESC);
CREATE INDEX ON commands (filed_at DESC, command_id DESC);
CREATE INDEX ON commands (meter_id, ended_at DESC) WHERE kind = 2 AND state = 'confirmed';
CREATE INDEX ON commands (campaign_id) WHERE campaign_id IS NOT NULL;

-- Every change of a command's state, with when, by whom and why.
CREATE TABLE command_events (
    event_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command_id bigint NOT NULL REFERENCES commands,
    at         timestamptz NOT NULL DEFAULT now(),
    state      text NOT NULL,
    actor      text NOT NULL,                      -- a login, or the door
    detail     text NOT NULL DEFAULT '',
    told_id    uuid UNIQUE                         -- of what a gateway told: telling it twice is telling it once
);
CREATE INDEX ON command_events (command_id, event_id);

-- Devices for which something else waits than did; ingest tells the gateways and deletes the row.
CREATE TABLE command_outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id  bigint NOT NULL
);

CREATE FUNCTION command_outbox_added() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO command_outbox (device_id)
    SELECT DISTINCT device_id FROM new_rows WHERE state IN ('queued', 'handed_over');
    RETURN NULL;
END $$;

CREATE FUNCTION command_outbox_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO command_outbox (device_id)
    SELECT DISTINCT n.device_id FROM new_rows n JOIN old_rows o USING (command_id)
    WHERE (n.state IN ('queued', 'handed_over')) <> (o.state IN ('queued', 'handed_over'));
    RETURN NULL;
END $$;

CREATE TRIGGER commands_added AFTER INSERT ON commands
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION command_outbox_added();
CREATE TRIGGER commands_changed AFTER UPDATE ON commands
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION command_outbox_changed();

-- Firmware. The images themselves lie in a directory that gateways read; here is what they must be.
CREATE TABLE firmware_images (
    sha256     bytea PRIMARY KEY CHECK (length(sha256) = 32),
    name       text NOT NULL,
    size_bytes integer NOT NULL CHECK (size_bytes > 0),
    signature  bytea NOT NULL,                     -- Ed25519, over the image; checked when it was added
    added_by   text NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaigns (
    campaign_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256      bytea NOT NULL REFERENCES firmware_images,
    uri         text NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'stopped', 'finished')),
    wave        integer NOT NULL DEFAULT 0,        -- the last that was sent out; 0: none yet
    waves       integer NOT NULL CHECK (waves > 0),
    stop_share  double precision NOT NULL CHECK (stop_share BETWEEN 0 AND 1),    -- of ended commands that failed
    stop_after  integer NOT NULL CHECK (stop_after > 0),                         -- failures before the share counts
    why         text NOT NULL DEFAULT '',          -- it was stopped
    started_by  text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaign_meters (
    campaign_id bigint NOT NULL REFERENCES campaigns,
    meter_id    bigint NOT NULL REFERENCES meters,
    wave        integer NOT NULL,
    PRIMARY KEY (campaign_id, meter_id)
);
CREATE INDEX ON campaign_meters (campaign_id, wave);
