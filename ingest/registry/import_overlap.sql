-- After the import: a meter or a device that would be in two places at a time.
SELECT r.line, 'installed_at' AS field,
    'overlaps an earlier installation of the meter or of its device' AS message
FROM import_rows r
JOIN installations new ON new.meter_id = r.meter_id AND new.valid_to IS NULL
WHERE EXISTS (
    SELECT FROM installations old
    WHERE (old.meter_id = new.meter_id OR old.device_id = new.device_id)
        AND old.installation_id <> new.installation_id AND old.valid_to > new.valid_from
)
ORDER BY r.line
LIMIT 1000
