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

CREATE INDEX credentials_ending ON credentials (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX ON strangers (last_at DESC, name);

-- Takes a stranger that a person approved into the registry, as one row of an import would: a new meter, a device that
-- had no IMEI yet, or another device on a known meter. With the owner's rights, so that whoever may call it can enrol
-- just those who knocked, and open the plain door for no more than the one address they knocked from.
-- Returns the device's canonical name; raises raise_exception with a message for a person.
CREATE FUNCTION enrol_stranger(stranger text, meter_serial text, plain boolean) RETURNS text LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    known       strangers%ROWTYPE;
    here        installations%ROWTYPE;
    the_imei    text := substring(stranger FROM '^(?:urn:imei:)?([0-9]{15})$');
    the_name    text := COALESCE(the_imei, stranger);
    the_meter   bigint;
    the_device  bigint;
    old_imei    text;
    sources     cidr[] := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock(121369189248368);     -- ingest.registry.import_meters.LOCK
    SELECT * INTO known FROM strangers s WHERE s.name = stranger FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'nobody of this name knocks';
    ELSIF the_name !~ '^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$' THEN
        RAISE EXCEPTION 'no device can have this name';
    ELSIF meter_serial !~ '^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$' THEN
        RAISE EXCEPTION 'a serial is 1 to 32 letters, digits, - _ .';
    ELSIF EXISTS (SELECT FROM devices d WHERE d.device = the_name OR d.imei = the_imei) THEN
        RAISE EXCEPTION 'a device of this name is in the registry already';
    ELSIF EXISTS (SELECT FROM meters m WHERE m.serial = the_name AND m.serial <> meter_serial) THEN
        RAISE EXCEPTION '% is the serial of another meter', the_name;
    END IF;
    IF plain THEN
        BEGIN
            sources := ARRAY[known.source::inet::cidr];
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'its address is not known, so the plain door cannot be opened for it';
        END;
    END IF;

    SELECT m.meter_id INTO the_meter FROM meters m WHERE m.serial = meter_serial;
    IF the_meter IS NULL THEN
        IF EXISTS (SELECT FROM devices d WHERE d.device = meter_serial OR d.imei = meter_serial) THEN
            RAISE EXCEPTION '% is the name of another device', meter_serial;
        END IF;
        INSERT INTO meters (serial) VALUES (meter_serial) RETURNING meter_id INTO the_meter;
        INSERT INTO service_points DEFAULT VALUES RETURNING service_point_id INTO here.service_point_id;
        here.multiplier := 1;
    ELSE
        SELECT * INTO here FROM installations i WHERE i.meter_id = the_meter AND i.valid_to IS NULL FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'meter % is not installed: import it first', meter_serial;
        END IF;
        SELECT d.imei INTO old_imei FROM devices d WHERE d.device_id = here.device_id;
        IF old_imei IS NULL AND the_imei IS NOT NULL THEN
            UPDATE devices SET imei = the_imei, device = the_imei, plain_sources = devices.plain_sources || sources
            WHERE device_id = here.device_id;
            DELETE FROM strangers s WHERE s.name = stranger;
            RETURN the_name;
        ELSIF here.valid_from >= now() THEN
            RAISE EXCEPTION 'the present installation begins in the future, so its device cannot be exchanged yet';
        END IF;
        UPDATE installations SET valid_to = now() WHERE installation_id = here.installation_id;
    END IF;
    INSERT INTO devices (device, imei, plain_sources) VALUES (the_name, the_imei, sources)
    RETURNING device_id INTO the_device;
    INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, multiplier)
    VALUES (here.service_point_id, the_meter, the_device,
            CASE WHEN here.installation_id IS NULL THEN '1970-01-01Z' ELSE now() END, here.multiplier);
    DELETE FROM strangers s WHERE s.name = stranger;
    RETURN the_name;
END $$;
REVOKE ALL ON FUNCTION enrol_stranger(text, text, boolean) FROM PUBLIC;
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
