"""What an external MQTT broker in front needs: its configuration and the access lists of `nbwater mqtt acl`."""
