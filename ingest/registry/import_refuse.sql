-- What contradicts the database: line, column, message.
SELECT r.line, 'imei' AS field, format('%s is on meter %s', r.imei, m.serial) AS message
FROM import_rows r
JOIN installations i ON i.device_id = r.device_id AND i.valid_to IS NULL
JOIN meters m ON m.meter_id = i.meter_id
WHERE r.action IN ('install', 'exchange') AND i.meter_id IS DISTINCT FROM r.meter_id
    AND NOT EXISTS (
        SELECT FROM import_rows freed WHERE freed.installation_id = i.installation_id AND freed.action = 'exchange'
    )
    AND NOT EXISTS (SELECT FROM import_rows freeing WHERE freeing.replaced_id = i.installation_id)
UNION ALL
SELECT r.line, 'imei', format('%s is the serial of a meter', r.imei)
FROM import_rows r JOIN meters m ON m.serial = r.imei WHERE m.serial <> r.serial
UNION ALL
SELECT r.line, 'serial', format('%s is the name of another device', r.serial)
FROM import_rows r
JOIN (SELECT device AS name, device_id FROM devices UNION SELECT imei, device_id FROM devices WHERE imei IS NOT NULL) d
    ON d.name = r.serial
WHERE d.device_id IS DISTINCT FROM r.old_device_id AND d.device_id IS DISTINCT FROM r.device_id
    AND NOT EXISTS (SELECT FROM installations i WHERE i.device_id = d.device_id AND i.meter_id = r.meter_id)
UNION ALL
SELECT line, 'installed_at', format('%s is in the future', installed_at)
FROM import_rows WHERE installed_at > now() + INTERVAL '1 day'
UNION ALL
SELECT line, 'imei', 'the present installation begins in the future, so its device cannot be exchanged yet'
FROM import_rows WHERE action = 'exchange' AND began >= begins
UNION ALL
SELECT line, 'replaces', format('%s is not installed', replaces)
FROM import_rows WHERE action = 'install' AND replaces IS NOT NULL AND replaced_id IS NULL
UNION ALL
SELECT line, 'installed_at', format('%s was not there yet, so it cannot have been replaced', replaces)
FROM import_rows WHERE action = 'install' AND replaced_began >= begins
UNION ALL
SELECT r.line, 'replaces', format('%s stands in this file, too', r.replaces)
FROM import_rows r JOIN import_rows other ON other.installation_id = r.replaced_id
WHERE r.action = 'install'
ORDER BY line
LIMIT 1000
