INSERT INTO zones (code, name)
SELECT DISTINCT zone, zone FROM import_rows WHERE zone IS NOT NULL
ON CONFLICT (code) DO NOTHING;

INSERT INTO meters (serial, maker, model, dn_mm, q3_l_h)
SELECT serial, COALESCE(maker, ''), COALESCE(model, ''), COALESCE(dn_mm, 15), COALESCE(q3_l_h, 2500)
FROM import_rows WHERE meter_id IS NULL ORDER BY line;

UPDATE import_rows r SET meter_id = m.meter_id FROM meters m WHERE r.meter_id IS NULL AND m.serial = r.serial;

UPDATE meters m
SET maker = COALESCE(r.maker, m.maker), model = COALESCE(r.model, m.model), dn_mm = COALESCE(r.dn_mm, m.dn_mm),
    q3_l_h = COALESCE(r.q3_l_h, m.q3_l_h)
FROM import_rows r
WHERE m.meter_id = r.meter_id AND (m.maker, m.model, m.dn_mm, m.q3_l_h) IS DISTINCT FROM
    (COALESCE(r.maker, m.maker), COALESCE(r.model, m.model), COALESCE(r.dn_mm, m.dn_mm), COALESCE(r.q3_l_h, m.q3_l_h));

UPDATE devices d SET imei = r.imei, device = r.imei
FROM import_rows r WHERE r.action = 'learn' AND d.device_id = r.old_device_id;

INSERT INTO devices (device, imei, plain_sources)
SELECT COALESCE(imei, serial), imei, string_to_array(COALESCE(plain_sources, default_sources), ' ')::cidr[]
FROM import_rows WHERE action IN ('install', 'exchange') AND device_id IS NULL ORDER BY line;

UPDATE import_rows r SET device_id = d.device_id FROM devices d
WHERE r.action IN ('install', 'exchange') AND r.device_id IS NULL AND d.device = COALESCE(r.imei, r.serial);

UPDATE devices d SET plain_sources = string_to_array(r.plain_sources, ' ')::cidr[]
FROM import_rows r
WHERE r.plain_sources IS NOT NULL AND d.device_id = COALESCE(r.device_id, r.old_device_id)
    AND d.plain_sources <> string_to_array(r.plain_sources, ' ')::cidr[];

UPDATE installations i SET valid_to = r.begins
FROM import_rows r
WHERE (r.action = 'exchange' AND i.installation_id = r.installation_id)
    OR (r.action = 'install' AND i.installation_id = r.replaced_id);

UPDATE import_rows SET service_point_id = nextval(pg_get_serial_sequence('service_points', 'service_point_id'))
WHERE action = 'install' AND replaced_id IS NULL;

INSERT INTO service_points (service_point_id) OVERRIDING SYSTEM VALUE
SELECT service_point_id FROM import_rows WHERE action = 'install' AND replaced_id IS NULL ORDER BY line;

UPDATE service_points p
SET zone_id = COALESCE(z.zone_id, p.zone_id), address = COALESCE(r.address, p.address),
    latitude = COALESCE(r.latitude, p.latitude), longitude = COALESCE(r.longitude, p.longitude),
    critical = COALESCE(r.critical, p.critical)
FROM import_rows r LEFT JOIN zones z ON z.code = r.zone
WHERE p.service_point_id = r.service_point_id
    AND (p.zone_id, p.address, p.latitude, p.longitude, p.critical) IS DISTINCT FROM
        (COALESCE(z.zone_id, p.zone_id), COALESCE(r.address, p.address), COALESCE(r.latitude, p.latitude),
         COALESCE(r.longitude, p.longitude), COALESCE(r.critical, p.critical));

INSERT INTO installations (service_point_id, meter_id, device_id, valid_from, multiplier, start_index_ml)
SELECT r.service_point_id, r.meter_id, r.device_id, r.begins, COALESCE(r.multiplier, i.multiplier, 1),
    CASE WHEN r.action = 'install' THEN r.start_index_ml END
FROM import_rows r LEFT JOIN installations i USING (installation_id)
WHERE r.action IN ('install', 'exchange') ORDER BY r.line;

UPDATE installations i SET valid_from = r.installed_at
FROM import_rows r
WHERE r.action IN ('keep', 'learn') AND i.installation_id = r.installation_id AND i.valid_from <> r.installed_at
    AND NOT EXISTS (
        SELECT FROM installations x WHERE x.meter_id = i.meter_id AND x.installation_id <> i.installation_id
    );

UPDATE installations i SET multiplier = r.multiplier
FROM import_rows r
WHERE r.action IN ('keep', 'learn') AND i.installation_id = r.installation_id AND i.multiplier <> r.multiplier;

UPDATE pusher_bindings b SET ended_at = now(), ended_by = 'import', ended_why = 'moved'
FROM import_rows r
WHERE r.pushers IS NOT NULL AND b.device_id = COALESCE(r.device_id, r.old_device_id) AND b.ended_at IS NULL
    AND b.product <> ALL (string_to_array(r.pushers, ' '));

INSERT INTO pusher_bindings (device_id, product, bound_by)
SELECT COALESCE(r.device_id, r.old_device_id), product, 'import'
FROM import_rows r CROSS JOIN LATERAL unnest(string_to_array(r.pushers, ' ')) AS product
WHERE r.pushers IS NOT NULL
ON CONFLICT (device_id, product) WHERE ended_at IS NULL DO NOTHING;
