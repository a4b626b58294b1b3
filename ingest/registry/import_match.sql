-- What is known of each row's meter and device, and what is to be done about it.
ANALYZE import_rows;

UPDATE import_rows r SET meter_id = m.meter_id FROM meters m WHERE m.serial = r.serial;

UPDATE import_rows r
SET installation_id = i.installation_id, began = i.valid_from, service_point_id = i.service_point_id,
    old_device_id = i.device_id, old_imei = d.imei
FROM installations i JOIN devices d USING (device_id)
WHERE i.meter_id = r.meter_id AND i.valid_to IS NULL;

UPDATE import_rows r SET device_id = d.device_id FROM devices d WHERE d.imei = r.imei;

UPDATE import_rows r SET device_id = d.device_id FROM devices d
WHERE r.imei IS NULL AND r.installation_id IS NULL AND d.device = r.serial AND d.imei IS NULL;

UPDATE import_rows r
SET replaced_id = i.installation_id, replaced_began = i.valid_from, service_point_id = i.service_point_id
FROM meters m JOIN installations i ON i.meter_id = m.meter_id AND i.valid_to IS NULL
WHERE r.replaces = m.serial AND r.installation_id IS NULL;

ANALYZE import_rows;

UPDATE import_rows SET action = CASE
    WHEN installation_id IS NULL THEN 'install'
    WHEN imei IS NULL OR imei = old_imei THEN 'keep'
    WHEN old_imei IS NULL AND device_id IS NULL THEN 'learn'
    ELSE 'exchange'
END;

UPDATE import_rows r SET begins = CASE
    WHEN action = 'exchange' THEN CASE WHEN installed_at > began THEN installed_at ELSE now() END
    WHEN installed_at IS NOT NULL THEN installed_at
    WHEN replaced_id IS NOT NULL THEN now()
    WHEN EXISTS (SELECT FROM installations i WHERE i.meter_id = r.meter_id)
        OR EXISTS (SELECT FROM installations i WHERE i.device_id = r.device_id) THEN now()
    ELSE '1970-01-01Z'
END
WHERE action IN ('install', 'exchange');
