"""The MQTT door: a persistent-session subscriber of nats-server's own listener or of a broker that stands in front."""
