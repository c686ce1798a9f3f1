"""What Envoy loads: the application, by the settings in the environment."""

from conexiones.app import build, configure_logging
from conexiones.settings import Settings
from conexiones.transport.home import Home

settings = Settings.load()
configure_logging(settings.log_level)
app = Home(build(settings))
