-- After the import: a meter or a device that would be in two places at a time.
WITH present AS (
    SELECT r.line, i.meter_id, i.device_id, i.valid_from
    FROM import_rows r JOIN installations i ON i.meter_id = r.meter_id AND i.valid_to IS NULL
), past AS (
    SELECT meter_id, device_id, valid_to FROM installations WHERE valid_to IS NOT NULL
)
SELECT line, 'installed_at' AS field, 'overlaps an earlier installation of the meter or of its device' AS message
FROM (
    SELECT line FROM present JOIN past USING (meter_id) WHERE valid_to > valid_from
    UNION
    SELECT line FROM present JOIN past USING (device_id) WHERE valid_to > valid_from
) AS twice
ORDER BY line
LIMIT 1000
