CREATE TEMP TABLE import_rows (
    line             integer,
    serial           text,
    imei             text,
    maker            text,
    model            text,
    dn_mm            integer,
    q3_l_h           integer,
    zone             text,
    address          text,
    latitude         double precision,
    longitude        double precision,
    installed_at     timestamptz,
    critical         boolean,
    plain_sources    text,          -- separated by spaces
    default_sources  text,
    pushers          text,          -- separated by spaces
    multiplier       integer,
    start_index_ml   bigint,
    replaces         text,          -- serial
    -- found or made later
    meter_id         bigint,
    installation_id  bigint,        -- the open one
    began            timestamptz,   -- when that began
    service_point_id bigint,
    old_device_id    bigint,        -- of the open installation
    old_imei         text,
    device_id        bigint,        -- the one the row asks for, where it exists
    action           text,          -- install, exchange, learn (the IMEI of a device known by its serial), keep
    replaced_id      bigint,        -- the open installation of the meter that this one replaces
    replaced_began   timestamptz,
    begins           timestamptz    -- of the installation that the row asks for
) ON COMMIT DROP;
