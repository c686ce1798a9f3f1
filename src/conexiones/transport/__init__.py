"""How calls reach the services: Envoy with the application inside, and what guards both."""
