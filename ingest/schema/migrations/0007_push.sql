-- Devices with commands at a service point that became critical, or on a meter that came to one. The publisher of
-- commands looks at every device it is told of, and cancels what may not be there (ingest/commands/critical.py).
CREATE FUNCTION critical_command_outbox() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO command_outbox (device_id)
    SELECT DISTINCT c.device_id
    FROM new_rows n
    JOIN service_points p USING (service_point_id)
    JOIN installations i ON i.service_point_id = p.service_point_id AND i.valid_to IS NULL
    JOIN commands c ON c.device_id = i.device_id OR c.meter_id = i.meter_id
    WHERE p.critical AND c.state IN ('awaiting_approval', 'queued', 'handed_over');
    RETURN NULL;
END $$;

CREATE TRIGGER service_points_critical AFTER UPDATE ON service_points
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION critical_command_outbox();
CREATE TRIGGER installations_critical_added AFTER INSERT ON installations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION critical_command_outbox();
CREATE TRIGGER installations_critical_changed AFTER UPDATE ON installations
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION critical_command_outbox();
