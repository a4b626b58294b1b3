-- Districts: where their water goes in and out, what is known of their pipes, and their balance by hour and day.

ALTER TABLE zones
    ADD COLUMN boundary       jsonb,                              -- GeoJSON geometry, Polygon or MultiPolygon
    ADD COLUMN mains_m        integer CHECK (mains_m > 0),        -- for the unavoidable losses (UARL)
    ADD COLUMN connections    integer CHECK (connections > 0),
    ADD COLUMN pressure_m     double precision CHECK (pressure_m > 0);

-- A bulk meter counts water into a zone or out of it; the same meter may be the outlet of one and the inlet of the next.
CREATE TABLE zone_flows (
    zone_flow_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    zone_id      bigint NOT NULL REFERENCES zones,
    meter_id     bigint NOT NULL REFERENCES meters,
    direction    text NOT NULL CHECK (direction IN ('in', 'out')),
    valid_from   timestamptz NOT NULL,
    valid_to     timestamptz,                                     -- NULL: still there
    CHECK (valid_to IS NULL OR valid_to > valid_from),
    UNIQUE (zone_id, meter_id, valid_from)
);
CREATE UNIQUE INDEX ON zone_flows (zone_id, meter_id) WHERE valid_to IS NULL;
CREATE INDEX ON zone_flows (meter_id);

-- Unaccounted is inlet - outlet - customers. Inlet and outlet are NULL where one of their meters is not known.
CREATE TABLE zone_hours (
    zone_id      bigint NOT NULL REFERENCES zones,
    hour         timestamptz NOT NULL,                            -- begin
    inlet_ml     bigint,
    outlet_ml    bigint,
    customers_ml bigint NOT NULL,                                 -- measured and estimated
    estimated_ml bigint NOT NULL,                                 -- the part that is not measured
    sigma_ml     bigint NOT NULL,                                 -- standard uncertainty of unaccounted
    meters       integer NOT NULL,
    measured     integer NOT NULL,
    computed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (zone_id, hour)
);
CREATE INDEX ON zone_hours (hour);

CREATE TABLE zone_days (
    zone_id            bigint NOT NULL REFERENCES zones,
    day                date NOT NULL,                             -- in the utility's time zone
    inlet_ml           bigint,
    outlet_ml          bigint,
    customers_ml       bigint NOT NULL,
    estimated_ml       bigint NOT NULL,
    sigma_ml           bigint NOT NULL,
    measured_share     real NOT NULL,
    night_inflow_ml_h  bigint,                                    -- NULL: the inlet is not known at night
    night_use_ml_h     bigint,
    night_sigma_ml_h   bigint,
    computed_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (zone_id, day)
);

ALTER TABLE alerts ADD COLUMN zone_id bigint REFERENCES zones;    -- alerts of a district have no meter
CREATE UNIQUE INDEX alerts_one_active_of_zone ON alerts (zone_id, kind) WHERE state IN ('open', 'acknowledged');
