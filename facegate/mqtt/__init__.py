"""Topics and payloads, the client, the embedded broker, Frigate's events, Home Assistant's discovery."""
