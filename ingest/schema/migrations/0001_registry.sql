-- What is where: zones, service points, meters, devices and the dated links between them (DESIGN section 4),
-- and the outbox that carries their changes to the gateways (section 3.8).

CREATE TABLE zones (
    zone_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    parent_id bigint REFERENCES zones,
    code      text NOT NULL UNIQUE,
    name      text NOT NULL,
    kind      text NOT NULL DEFAULT 'dma' CHECK (kind IN ('city', 'township', 'dma', 'building'))
);

CREATE TABLE service_points (
    service_point_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    zone_id          bigint REFERENCES zones,
    address          text NOT NULL DEFAULT '',
    latitude         double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude        double precision CHECK (longitude BETWEEN -180 AND 180),
    use_class        text NOT NULL DEFAULT 'household',
    customer         text NOT NULL DEFAULT '',
    critical         boolean NOT NULL DEFAULT false    -- hospital, fire main, vulnerable customer: never closed
);
CREATE INDEX ON service_points (zone_id);

CREATE TABLE meters (
    meter_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial          text NOT NULL UNIQUE CHECK (serial <> ''),
    maker           text NOT NULL DEFAULT '',
    model           text NOT NULL DEFAULT '',
    dn_mm           integer NOT NULL DEFAULT 15 CHECK (dn_mm > 0),
    q3_l_h          integer NOT NULL DEFAULT 2500 CHECK (q3_l_h > 0),       -- OIML R 49 permanent flow rate
    register_max_ml bigint NOT NULL DEFAULT 100000000000000 CHECK (register_max_ml > 0),
    pulse_ml        bigint NOT NULL DEFAULT 1000 CHECK (pulse_ml > 0)
);

CREATE TABLE devices (
    device_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device        text NOT NULL UNIQUE CHECK (device <> ''),   -- canonical name: IMEI, else serial of its meter
    imei          text UNIQUE,
    plain_sources cidr[] NOT NULL DEFAULT '{}',                -- networks it may speak from without a key
    has_key       boolean NOT NULL DEFAULT false,
    enabled       boolean NOT NULL DEFAULT true,
    registered_at timestamptz NOT NULL DEFAULT now(),          -- it cannot have been silent before
    firmware      text NOT NULL DEFAULT ''
);

CREATE TABLE installations (
    installation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service_point_id bigint NOT NULL REFERENCES service_points,
    meter_id         bigint NOT NULL REFERENCES meters,
    device_id        bigint NOT NULL REFERENCES devices,
    valid_from       timestamptz NOT NULL,
    valid_to         timestamptz,                              -- NULL: still there
    start_index_ml   bigint,
    multiplier       integer NOT NULL DEFAULT 1 CHECK (multiplier > 0),
    CHECK (valid_to IS NULL OR valid_to > valid_from)
);
CREATE INDEX ON installations (device_id, valid_from);
CREATE INDEX ON installations (meter_id, valid_from);
CREATE INDEX ON installations (service_point_id, valid_from);
CREATE UNIQUE INDEX ON installations (meter_id) WHERE valid_to IS NULL;
CREATE UNIQUE INDEX installations_open_device ON installations (device_id) WHERE valid_to IS NULL;

-- A row says only that a device changed; the publisher reads its whole current self, so order does not matter.
-- Whoever may change a device has it announced: the triggers need no right of his on the outbox.
CREATE TABLE outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device     text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION outbox_added() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO outbox (device)
    SELECT device FROM devices WHERE device_id IN (SELECT device_id FROM new_rows);
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_devices_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO outbox (device) SELECT device FROM old_rows UNION SELECT device FROM new_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_devices_removed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO outbox (device) SELECT device FROM old_rows;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_installations_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO outbox (device)
    SELECT device FROM devices
    WHERE device_id IN (SELECT device_id FROM old_rows UNION SELECT device_id FROM new_rows);
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_installations_removed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO outbox (device)
    SELECT device FROM devices WHERE device_id IN (SELECT device_id FROM old_rows);
    RETURN NULL;
END $$;

-- Once per statement: an import of a million meters is a few statements.
CREATE TRIGGER devices_added AFTER INSERT ON devices
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_added();
CREATE TRIGGER devices_changed AFTER UPDATE ON devices
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_devices_changed();
CREATE TRIGGER devices_removed AFTER DELETE ON devices
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_devices_removed();
CREATE TRIGGER installations_added AFTER INSERT ON installations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_added();
CREATE TRIGGER installations_changed AFTER UPDATE ON installations
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_installations_changed();
CREATE TRIGGER installations_removed AFTER DELETE ON installations
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION outbox_installations_removed();
